"""The head's start: logistic regression on what reaches it from the published backbone, before any of that learns."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from cxrd_models.data.augment import augment
from cxrd_models.recipe import ProbeRecipe
from cxrd_models.train.job import Job
from cxrd_models.train.state import generator
from cxrd_models.zoo.contract import Batch, ChestClassifier, Regression

_BATCH = 32
_SMALL = 1e-6
_MAX_ITERATIONS = 500
Floats = NDArray[np.float64]


class _Features(NamedTuple):
    """What training films, and copies of them, look like to a part of the model.

    Attributes
    ----------
    scaled : array
        [copies * films, D] of mean 0; the mean square length of a row is 1, and each column of maps has an even share.
    mean, std : array
        [D] of the features.
    even : array
        [D] by what they were multiplied when standardised, for the even share.
    """

    scaled: Floats
    mean: Floats
    std: Floats
    even: Floats


def begin(job: Job, asked: ProbeRecipe) -> None:
    """Start the tokens as principal components, where the model makes some, then the head as a regression.

    Raises
    ------
    RecipeError
        The architecture's head cannot begin so.
    """
    model, parts = job.model.eval(), job.model.columns
    if model.embedding:
        embedding = model.get_submodule(model.embedding)
        assert isinstance(embedding, nn.Linear)  # noqa: S101 - the contract says so
        _embed(embedding, _features(job, asked, embedding, parts), generator(job.recipe.seed, "probe", "embedding"))
        parts = ()
    if type(model).post_step is not ChestClassifier.post_step:  # it keeps something beside its gradients
        for rows in torch.split(job.films.train, _BATCH):
            _show(job, rows)
    features = _features(job, asked, model.get_submodule("head"), parts)
    target = job.films.target[job.films.train].cpu().numpy()
    known = job.films.known[job.films.train].cpu().numpy() > 0
    weight, bias = _regress(features.scaled, target, known, asked.strength)
    found = (features.mean, features.std, weight * features.even, bias)
    on_device = (torch.from_numpy(x).float().to(job.device) for x in found)
    model.begin_head(Regression(*on_device))


@torch.inference_mode()
def _show(job: Job, rows: Tensor) -> None:
    films = job.films
    image, lungs = _as_seen(job, rows, copy=0, mirrored=False)
    batch = Batch(image, films.target[rows], films.known[rows], rows, lungs)
    job.model.post_step(batch, job.model(image, lungs).embedding, 0)


@torch.inference_mode()
def _features(job: Job, asked: ProbeRecipe, part: nn.Module, columns: tuple[int, ...]) -> _Features:
    """What reaches a part of the model, the mean of its tokens; no film finds itself in a memory."""
    heard: list[Tensor] = []

    def hear(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        heard.append(given[0].mean(dim=1) if given[0].dim() == 3 else given[0])

    ear = part.register_forward_pre_hook(hear)
    with ear:
        for copy in range(1 + asked.copies):
            for mirrored in (False, True)[: 1 + asked.mirrored]:
                for rows in torch.split(job.films.train, _BATCH):
                    job.model(*_as_seen(job, rows, copy, mirrored=mirrored), rows)
    found = torch.cat(heard).double().cpu().numpy()
    widths = np.array(columns or found.shape[1:])
    even = np.repeat(1 / np.sqrt(widths * len(widths)), widths)
    mean, std = found.mean(axis=0), np.maximum(found.std(axis=0), _SMALL)
    return _Features((found - mean) / std * even, mean, std, even)


def _as_seen(job: Job, rows: Tensor, copy: int, *, mirrored: bool) -> tuple[Tensor, Tensor | None]:
    """Films and lungs as they are (copy 0), or changed by chance; left and right exchanged if asked."""
    films = job.films
    image = films.image[rows].float() / 255
    lungs = None if films.mask is None else films.mask[rows].float() / 255
    if copy:
        place = generator(job.recipe.seed, "probe", copy, int(mirrored), int(rows[0]))
        image, lungs = augment(image, job.recipe.augment, place, lungs)
    if mirrored:
        image, lungs = image.flip(-1), None if lungs is None else lungs.flip(-1)
    return image, lungs


@torch.no_grad()
def _embed(embedding: nn.Linear, features: _Features, random: torch.Generator) -> None:
    """Begin as the strongest principal components, turned at random so that all coordinates are alike."""
    width = embedding.out_features
    _, axes = np.linalg.eigh(features.scaled.T @ features.scaled)  # rising
    strongest = axes[:, ::-1][:, :width]
    turn = np.linalg.qr(torch.randn(width, width, generator=random, dtype=torch.float64).numpy())[0]
    weight = math.sqrt(width) * turn[:, : strongest.shape[1]] @ strongest.T * features.even / features.std
    embedding.weight.copy_(torch.from_numpy(weight))
    embedding.bias.copy_(torch.from_numpy(-weight @ features.mean))


def _regress(
    scaled: Floats, target: NDArray[np.float32], known: NDArray[np.bool_], strength: float
) -> tuple[Floats, Floats]:
    """Weights [K, D] and biases [K], each class against the rest; copies share their film's weight."""
    times = len(scaled) // len(target)
    labels, learnt = np.tile(target, (times, 1)), np.tile(known, (times, 1))
    weight, bias = np.zeros((target.shape[1], scaled.shape[1])), np.zeros(target.shape[1])
    for k in range(target.shape[1]):
        rows = learnt[:, k]
        if len(np.unique(labels[rows, k])) == 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a fit that needs more steps is still a fair start
                found = LogisticRegression(C=strength / times, max_iter=_MAX_ITERATIONS)
                found.fit(scaled[rows], labels[rows, k])
            weight[k], bias[k] = found.coef_[0], found.intercept_[0]
    return weight, bias
