"""One run as the loop sees it: what to train, on what, with whom, and where to write."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxrd_models.data.tasks import Task
from cxrd_models.recipe import Recipe
from cxrd_models.train.board import Board
from cxrd_models.train.ranks import ALONE, Ranks
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import ChestClassifier

LAST, BEST = "last.pt", "best.pt"
"""Checkpoints of a run: where it stands, and the weights to keep."""


class Films(NamedTuple):
    """Everything the loop reads, on the training device.

    Attributes
    ----------
    image : Tensor
        [films, 1, H, W] uint8.
    target, known : Tensor
        [films, K] float32.
    source : array
        [films] names.
    train, val : Tensor
        Indices, int64.
    mask : Tensor or None
        [films, 1, H, W] uint8, lungs; None where neither model nor loss asks for them.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    source: NDArray[np.str_]
    train: Tensor
    val: Tensor
    mask: Tensor | None = None


class Job(NamedTuple):
    """One run."""

    recipe: Recipe
    task: Task
    model: ChestClassifier
    films: Films
    out: Path
    watch: Watch
    ranks: Ranks = ALONE
    board: Board = Board()

    @property
    def device(self) -> torch.device:
        """Where the films are."""
        return self.films.image.device

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true of a film."""
        return self.task.exclusive

    @property
    def identity(self) -> str:
        """The architecture a checkpoint belongs to."""
        return f"{self.recipe.architecture} {self.recipe.size} {self.task.id}"
