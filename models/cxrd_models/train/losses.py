"""Losses over logits [N, K], targets [N, K] in {0, 1} and a mask [N, K] of the targets that may be learnt."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cxrd_models.recipe import Phase
from cxrd_models.zoo.contract import Batch, Output

_SMALL = 1e-6


class Counted(NamedTuple):
    """What a batch has to learn from, and its losses are divided by.

    Attributes
    ----------
    answers : float
        Known targets; of classes that exclude each other, films by the weight of their class.
    lungs : float
        Films whose lungs are known.
    """

    answers: float
    lungs: float


def counted(phase: Phase, batch: Batch, weights: Tensor) -> Counted:
    """Count a batch, or a part of one: the parts' counts add up to the whole's."""
    lungs = 0.0 if batch.mask is None else float(_seen(batch.mask).sum())
    if phase.loss == "ce":
        return Counted(float((batch.known.amin(dim=1) * (batch.target * weights).sum(dim=1)).sum()), lungs)
    return Counted(float(batch.known.sum()), lungs)


def loss_of(phase: Phase, output: Output, batch: Batch, weights: Tensor, whole: Counted) -> Tensor:
    """Loss of a batch: the answer's, each branch's, and what lungs ask of segmentation and attention.

    Parameters
    ----------
    weights : Tensor
        [K] of the classes, mean 1.
    whole : Counted
        Of all parts of the batch: the losses of the parts add up to the whole's, however it is divided.
    """
    branches = [logits for name, logits in output.aux.items() if name.startswith("branch_")]
    if branches:  # the answer is a blend of them and has nothing of its own to learn
        each = torch.stack([classification(phase, logits, batch, weights, whole) for logits in branches])
        loss = phase.lambda_branches * each.sum()
    else:
        loss = classification(phase, output.logits, batch, weights, whole)
    if batch.mask is not None and phase.lambda_seg:
        loss = loss + phase.lambda_seg * segmentation(output.aux["seg"], batch.mask, whole.lungs)
    if batch.mask is not None and phase.lambda_attention:
        loss = loss + phase.lambda_attention * attention_outside(output.aux["attention"], batch.mask, whole.lungs)
    return loss


def classification(phase: Phase, logits: Tensor, batch: Batch, weights: Tensor, whole: Counted) -> Tensor:
    """Mean loss of the known targets; a batch without any costs 0."""
    target, known = batch.target, batch.known
    if phase.loss == "ce":
        smooth = target * (1 - phase.label_smoothing) + phase.label_smoothing / target.shape[1]
        film = -(smooth * weights * functional.log_softmax(logits, dim=1)).sum(dim=1)
        learnt = known.amin(dim=1)
        return (film * learnt).sum() / max(whole.answers, _SMALL)
    target = target * (1 - phase.label_smoothing) + phase.label_smoothing / 2
    match phase.loss:
        case "asymmetric":
            each = asymmetric(logits, target, phase.gamma_negative, phase.gamma_positive, phase.clip)
        case "focal":
            each = focal(logits, target, phase.focal_alpha, phase.focal_gamma)
        case _:
            each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * known * weights).sum() / max(whole.answers, 1.0)


def focal(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal loss (arXiv 1708.02002), [N, K], not reduced; gamma 0 is alpha times binary cross-entropy."""
    plain = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    sure = torch.sigmoid(logits) * target + torch.sigmoid(-logits) * (1 - target)
    return alpha * (1 - sure).clamp(min=_SMALL) ** gamma * plain  # a root has no slope at 0


def _seen(mask: Tensor) -> Tensor:
    """[N] 1 for a film of [N, 1, H, W] whose lungs are known, else 0."""
    return (mask.flatten(1).amax(dim=1) > 0).to(mask.dtype)


def segmentation(logits: Tensor, mask: Tensor, films: float) -> Tensor:
    """Half cross-entropy, half Dice, over so many films [N, 1, H, W] whose lungs are known; 0 without any."""
    seen = _seen(mask)
    cross = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none").flatten(1).mean(dim=1)
    lungs = torch.sigmoid(logits)
    both = (lungs * mask).flatten(1).mean(dim=1)
    dice = 1 - (2 * both + _SMALL) / (lungs.flatten(1).mean(dim=1) + mask.flatten(1).mean(dim=1) + _SMALL)
    return ((0.5 * cross + 0.5 * dice) * seen).sum() / max(films, 1.0)


def attention_outside(attention: Tensor, mask: Tensor, films: float) -> Tensor:
    """``-log`` of the share of attention [N, heads, h, w] inside the lungs: mean over heads and films with lungs."""
    cells = functional.adaptive_avg_pool2d(mask, (attention.shape[2], attention.shape[3]))
    inside = (attention * cells).sum(dim=(2, 3)) / attention.sum(dim=(2, 3)).clamp(min=_SMALL)
    return (-torch.log(inside.clamp(min=_SMALL)).mean(dim=1) * _seen(mask)).sum() / max(films, 1.0)


def asymmetric(logits: Tensor, target: Tensor, gamma_negative: float, gamma_positive: float, clip: float) -> Tensor:
    """Asymmetric loss (arXiv 2009.14119), [N, K], not reduced.

    Easy negatives weigh ``p_m ** gamma_negative`` with the shifted probability ``p_m = max(p - clip, 0)``,
    positives ``(1 - p) ** gamma_positive``. With both exponents 0 and no clip it is binary cross-entropy.
    """
    positive = torch.sigmoid(logits)
    shifted = (positive - clip).clamp(min=0)
    gain = target * (1 - positive).clamp(min=_SMALL) ** gamma_positive * functional.logsigmoid(logits)
    miss = functional.logsigmoid(-logits) if clip == 0 else torch.log((1 - shifted).clamp(min=1e-8))
    return -(gain + (1 - target) * shifted.clamp(min=_SMALL) ** gamma_negative * miss)
