"""The head's start: logistic regression on what reaches it from the published backbone, before any of that learns."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from cxrd_models.data.augment import augment
from cxrd_models.recipe import ProbeRecipe
from cxrd_models.train.job import Job
from cxrd_models.train.state import generator
from cxrd_models.zoo.contract import Batch, ChestClassifier, Regression

_BATCH = 32
_SMALL = 1e-6
_MAX_ITERATIONS = 500
Floats = NDArray[np.float64]


def begin(job: Job, asked: ProbeRecipe) -> None:
    """Show the model every training film once, for what it keeps of them, then start its head as a regression.

    Raises
    ------
    RecipeError
        The architecture's head cannot begin so.
    """
    job.model.eval()
    if type(job.model).post_step is not ChestClassifier.post_step:  # it keeps something beside its gradients
        for rows in torch.split(job.films.train, _BATCH):
            _show(job, rows)
    seen = [_features(job, copy) for copy in range(1 + asked.copies)]
    target = job.films.target[job.films.train].cpu().numpy()
    known = job.films.known[job.films.train].cpu().numpy() > 0
    features = torch.cat(seen)
    mean, std = features.mean(dim=0), features.std(dim=0).clamp(min=_SMALL)
    scaled = ((features - mean) / std).double().cpu().numpy()
    weight, bias = _regress(scaled, target, known, asked, exclusive=job.exclusive)
    on_device = (torch.from_numpy(x).float().to(job.device) for x in (weight, bias))
    job.model.begin_head(Regression(mean, std, *on_device))


@torch.inference_mode()
def _show(job: Job, rows: Tensor) -> None:
    films = job.films
    image, lungs = _as_seen(job, rows, copy=0)
    batch = Batch(image, films.target[rows], films.known[rows], rows, lungs)
    job.model.post_step(batch, job.model(image, lungs).embedding, 0)


@torch.inference_mode()
def _features(job: Job, copy: int) -> Tensor:
    """[train films, D] what reaches the head of one copy of each film; no film finds itself in a memory."""
    heard: list[Tensor] = []
    ear = job.model.head.register_forward_pre_hook(lambda _, given: heard.append(given[0]))  # type: ignore[union-attr]  # torch types a submodule as Tensor or Module
    with ear:
        for rows in torch.split(job.films.train, _BATCH):
            job.model(*_as_seen(job, rows, copy), rows)
    return torch.cat(heard)


def _as_seen(job: Job, rows: Tensor, copy: int) -> tuple[Tensor, Tensor | None]:
    """Films and lungs as they are (copy 0), or changed by chance."""
    films = job.films
    image = films.image[rows].float() / 255
    lungs = None if films.mask is None else films.mask[rows].float() / 255
    if not copy:
        return image, lungs
    return augment(image, job.recipe.augment, generator(job.recipe.seed, "probe", copy, int(rows[0])), lungs)


def _regress(
    scaled: Floats, target: NDArray[np.float32], known: NDArray[np.bool_], asked: ProbeRecipe, *, exclusive: bool
) -> tuple[Floats, Floats]:
    """Weights [K, D] and biases [K] of standardised features [copies * films, D]; copies share their film's weight."""
    times = len(scaled) // len(target)
    labels, learnt = np.tile(target, (times, 1)), np.tile(known, (times, 1))
    if exclusive and target.shape[1] > 2:
        rows = learnt.all(axis=1)
        return _fit(scaled[rows], labels[rows].argmax(axis=1), asked.strength / times)
    weight, bias = np.zeros((target.shape[1], scaled.shape[1])), np.zeros(target.shape[1])
    for k in range(target.shape[1]):
        rows = learnt[:, k]
        if len(np.unique(labels[rows, k])) == 2:
            found = _fit(scaled[rows], labels[rows, k], asked.strength / times)
            weight[k], bias[k] = found[0][0], found[1][0]
    return weight, bias


def _fit(scaled: Floats, labels: NDArray[np.generic], strength: float) -> tuple[Floats, Floats]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that needs more steps is still a fair start
        model = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS).fit(scaled, labels)
    return np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
