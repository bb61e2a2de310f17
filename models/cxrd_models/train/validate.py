"""How good the weights are now, on the validation films."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax
from torch import Tensor, nn

from cxrd_models.evaluate.scores import auroc_within
from cxrd_models.recipe import Recipe
from cxrd_models.train.job import Films, Job
from cxrd_models.train.losses import segmentation
from cxrd_models.zoo.contract import Output

_BATCH = 64


class Judged(NamedTuple):
    """Figures of one epoch on the validation films.

    Attributes
    ----------
    score : float
        What the recipe's monitor asks for; greater is better.
    val_auroc : float
        Mean over the classes with enough films.
    val_loss : float
        Mean cross-entropy, unweighted: comparable between phases of different losses.
    val_accuracy : float
        0..1; of classes that do not exclude each other, the share of right answers at 0.5.
    per_class : dict
        AUROC of each class with enough films.
    val_seg : float or None
        Mean loss of the lung segmentation, of films whose lungs are known; None of a model that draws none.
    """

    score: float
    val_auroc: float
    val_loss: float
    val_accuracy: float
    per_class: dict[str, float]
    val_seg: float | None


@torch.inference_mode()
def predict(model: nn.Module, films: Films, rows: Tensor) -> tuple[NDArray[np.float32], list[float]]:
    """Uncalibrated logits [rows, K] float32, in eval mode and single precision; segmentation losses of known lungs."""
    was = model.training
    model.eval()
    parts: list[Tensor] = []
    losses: list[float] = []
    for part in torch.split(rows, _BATCH):
        lungs = None if films.mask is None else films.mask[part].float() / 255
        image = (films.image[part].float() / 255).contiguous(memory_format=torch.channels_last)
        output: Output = model(image, lungs)
        parts.append(output.logits)
        if lungs is not None and "seg" in output.aux:
            pairs = zip(torch.split(output.aux["seg"].float(), 1), torch.split(lungs, 1), strict=True)
            losses += [float(segmentation(seg, mask, 1)) for seg, mask in pairs if mask.any()]
    model.train(was)
    return np.asarray(torch.cat(parts).float().cpu().numpy()), losses


def validate(job: Job, model: nn.Module) -> Judged:
    """Judge weights; every process judges its share of the films and knows the result of all.

    Only pairs of films of one source count in an AUROC, so that telling sources apart earns nothing.
    """
    films = job.films
    mine = job.ranks.share(films.val)
    rows = job.ranks.gather(mine)
    own, losses = predict(model, films, mine)
    logits, lungs = job.ranks.gather(torch.from_numpy(own)).numpy(), job.ranks.total(len(losses))
    drawn = job.ranks.total(sum(losses)) / lungs if lungs else None
    target, known = films.target[rows].cpu().numpy(), films.known[rows].cpu().numpy() > 0
    source = films.source[rows.cpu().numpy()]
    each, weight = areas(job.recipe, job.model.classes, target, logits, known, source)
    mean = float(np.average(list(each.values()), weights=list(weight.values()))) if each else 0.0
    loss, accuracy = _fit(target, logits.astype(np.float64), known, exclusive=job.exclusive)
    score = {"loss": -loss, "accuracy": accuracy}.get(job.recipe.monitor, mean)
    return Judged(score, mean, loss, accuracy, each, drawn)


def areas(
    recipe: Recipe,
    classes: tuple[str, ...],
    target: NDArray[np.float32],
    logits: NDArray[np.float32],
    known: NDArray[np.bool_],
    source: NDArray[np.str_],
) -> tuple[dict[str, float], dict[str, float]]:
    """AUROC and weight in the mean of each class that films [n] can judge; ``target``, ``logits``, ``known`` [n, K]."""
    each: dict[str, float] = {}
    weight: dict[str, float] = {}
    for k, name in enumerate(classes):
        use = known[:, k]
        positives = float(target[use, k].sum())
        area = float(auroc_within(target[use, k], logits[use, k], source[use])[0])
        if positives >= max(recipe.report.min_val, 1) and not math.isnan(area):
            each[name] = area
            weight[name] = positives if recipe.monitor == "weighted" else 1.0
    return each, weight


def _fit(
    target: NDArray[np.float32], logits: NDArray[np.float64], known: NDArray[np.bool_], *, exclusive: bool
) -> tuple[float, float]:
    """Cross-entropy and accuracy over what is known."""
    if exclusive:
        learnt = known.all(axis=1)
        loss = -(target * log_softmax(logits, axis=1)).sum(axis=1)[learnt]
        right = (logits.argmax(axis=1) == target.argmax(axis=1))[learnt]
    else:
        loss = -(target * log_expit(logits) + (1 - target) * log_expit(-logits))[known]
        right = ((expit(logits) > 0.5) == (target > 0))[known]
    return (float(loss.mean()), float(right.mean())) if len(loss) else (0.0, 0.0)
