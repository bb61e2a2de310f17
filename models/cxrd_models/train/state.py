"""Where a run stands: randomness is a function of seed and position, so resuming needs only a position."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Self

import torch

from cxrd.findings import Value
from cxrd_models.recipe import Phase


class Position(Value):
    """The next step to take, and the best result so far.

    Attributes
    ----------
    phase, epoch, step : int
        Index of the phase, of the epoch in it, of the batch in that.
    trained : int
        Epochs finished since the start, over all phases.
    best : float
        Best score so far, of all phases; minus infinity before the first.
    bar : float
        Score that this phase has to pass by its ``min_delta`` not to be stale.
    stale : int
        Epochs without passing it, in this phase.
    waited, lowered : int
        Epochs since it was passed or the rate was lowered, and how often that was done, in this phase.
    loss_sum : float
        Sum of the batch losses of this epoch so far.
    steps : int
        Steps taken since the start, over all phases.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    trained: int = 0
    best: float = -math.inf
    bar: float = -math.inf
    stale: int = 0
    waited: int = 0
    lowered: int = 0
    loss_sum: float = 0.0
    steps: int = 0

    def stepped(self, loss: float) -> Self:
        """One batch further."""
        done = {"step": self.step + 1, "steps": self.steps + 1, "loss_sum": self.loss_sum + loss}
        return self.model_copy(update=done)

    def next_epoch(self, score: float, phase: Phase) -> Self:
        """One epoch further, with the score it reached."""
        passed = score > self.bar + phase.min_delta or self.bar == -math.inf
        waited = 0 if passed else self.waited + 1
        lower = phase.schedule == "plateau" and waited > phase.plateau
        return self.model_copy(
            update={
                "epoch": self.epoch + 1,
                "step": 0,
                "trained": self.trained + 1,
                "loss_sum": 0.0,
                "best": max(score, self.best),
                "bar": score if passed else self.bar,
                "stale": 0 if passed else self.stale + 1,
                "waited": 0 if lower else waited,
                "lowered": self.lowered + lower,
            }
        )

    def next_phase(self) -> Self:
        """Begin the next phase; the best score so far stays the one to beat."""
        begun = {"epoch": 0, "step": 0, "stale": 0, "waited": 0, "lowered": 0, "loss_sum": 0.0, "bar": self.best}
        return self.model_copy(update={"phase": self.phase + 1, **begun})


def generator(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator whose stream is fixed by a seed and a place in the run."""
    return torch.Generator().manual_seed(seed_of(seed, *place))


def seed_of(seed: int, *place: int | str) -> int:
    """63-bit seed of a place in the run."""
    return int.from_bytes(sha256(repr((seed, *place)).encode()).digest()[:8], "big") >> 1
