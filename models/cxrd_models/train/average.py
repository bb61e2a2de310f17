"""Exponential moving average of a model's weights, judged and kept instead of the noisy last step."""

from __future__ import annotations

import copy

import torch

from cxrd_models.zoo.contract import ChestClassifier


class Average:
    """A shadow of a model: averaged parameters, copied buffers.

    Parameters
    ----------
    model : ChestClassifier
        The model that is trained.
    keep : float
        Share of the old average kept at each step, 0..1; 0 is the model itself.
    """

    def __init__(self, model: ChestClassifier, keep: float) -> None:
        self.keep = keep
        self.model = copy.deepcopy(model).requires_grad_(requires_grad=False) if keep else model

    @torch.no_grad()
    def update(self, model: ChestClassifier, steps: int) -> None:
        """Follow the model after its step number ``steps``; young averages follow faster."""
        if not self.keep:
            return
        keep = min(self.keep, (1 + steps) / (10 + steps))
        for shadow, weight in zip(self.model.parameters(), model.parameters(), strict=True):
            shadow.lerp_(weight, 1 - keep)
        for old, new in zip(self.model.buffers(), model.buffers(), strict=True):
            old.copy_(new)
