"""Losses over logits [N, K], targets [N, K] in {0, 1} and a mask [N, K] of the targets that may be learnt."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cxrd_models.recipe import Phase


def loss_of(phase: Phase, logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean loss of the known targets; a batch without any costs 0."""
    if phase.loss == "bce":
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        each = asymmetric(logits, target, phase.gamma_negative, phase.gamma_positive, phase.clip)
    return (each * known).sum() / known.sum().clamp(min=1)


def asymmetric(logits: Tensor, target: Tensor, gamma_negative: float, gamma_positive: float, clip: float) -> Tensor:
    """Asymmetric loss (arXiv 2009.14119), [N, K], not reduced.

    Easy negatives weigh ``p_m ** gamma_negative`` with the shifted probability ``p_m = max(p - clip, 0)``,
    positives ``(1 - p) ** gamma_positive``. With both exponents 0 and no clip it is binary cross-entropy.
    """
    positive = torch.sigmoid(logits)
    shifted = (positive - clip).clamp(min=0)
    gain = target * (1 - positive) ** gamma_positive * functional.logsigmoid(logits)
    miss = functional.logsigmoid(-logits) if clip == 0 else torch.log((1 - shifted).clamp(min=1e-8))
    return -(gain + (1 - target) * shifted**gamma_negative * miss)
