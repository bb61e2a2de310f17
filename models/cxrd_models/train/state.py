"""Where a run stands: randomness is a function of seed and position, so resuming needs only a position."""

from __future__ import annotations

from hashlib import sha256
from typing import Self

import torch

from cxrd.findings import Value


class Position(Value):
    """The next step to take, and the best result so far.

    Attributes
    ----------
    phase, epoch, step : int
        Index of the phase, of the epoch in it, of the batch in that.
    trained : int
        Epochs finished since the start, over all phases.
    best : float
        Best score so far; -1 before the first.
    stale : int
        Epochs without a better one, in this phase.
    loss_sum : float
        Sum of the batch losses of this epoch so far.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    trained: int = 0
    best: float = -1.0
    stale: int = 0
    loss_sum: float = 0.0

    def stepped(self, loss: float) -> Self:
        """One batch further."""
        return self.model_copy(update={"step": self.step + 1, "loss_sum": self.loss_sum + loss})

    def next_epoch(self, score: float) -> Self:
        """One epoch further, with the score it reached."""
        better = score > self.best
        return self.model_copy(
            update={
                "epoch": self.epoch + 1,
                "step": 0,
                "trained": self.trained + 1,
                "loss_sum": 0.0,
                "best": max(score, self.best),
                "stale": 0 if better else self.stale + 1,
            }
        )

    def next_phase(self) -> Self:
        """Begin the next phase; the best score so far stays the one to beat."""
        return self.model_copy(update={"phase": self.phase + 1, "epoch": 0, "step": 0, "stale": 0, "loss_sum": 0.0})


def generator(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator whose stream is fixed by a seed and a place in the run."""
    return torch.Generator().manual_seed(seed_of(seed, *place))


def seed_of(seed: int, *place: int | str) -> int:
    """63-bit seed of a place in the run."""
    return int.from_bytes(sha256(repr((seed, *place)).encode()).digest()[:8], "big") >> 1
