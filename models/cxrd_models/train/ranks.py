"""Several processes on one run: each takes its share of every batch, and all keep the same weights.

Started as ``torchrun --nproc-per-node N --no-python cxrd train ...``; a run that is started alone is one rank of one.
Gradients are summed by this file and not by DistributedDataParallel, so that accumulation, memories and the check for
a finite loss see the same batch however many processes share it. A batch norm that learns counts each process's own
films; the statistics that it keeps are the mean of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor, distributed


class Ranks(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @property
    def leader(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Return this process's part of the rows [n]."""
        return rows[self.rank :: self.world]

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of all processes up; one that saw no film brings zero."""
        if self.world == 1:
            return
        learning = list(parameters)
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in learning if p.grad is not None])
        distributed.all_reduce(flat)
        for parameter, part in zip(learning, torch.split(flat, [p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)

    def follow(self, held: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process: a regression on another GPU may end a little elsewhere."""
        if self.world > 1:
            for each in held:
                distributed.broadcast(each, 0)

    def average(self, held: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes."""
        if self.world == 1:
            return
        for each in held:
            distributed.all_reduce(each)
            each.div_(self.world)

    def gather(self, own: Tensor) -> Tensor:
        """Tensors [n_r, ...] of all processes, one below the other; their lengths may differ."""
        if self.world == 1:
            return own
        parts: list[Tensor] = [own] * self.world
        distributed.all_gather_object(parts, own.cpu())  # a handful of vectors a step: pickling costs nothing here
        return torch.cat(parts).to(own.device)

    def total(self, value: float) -> float:
        """Sum of a number over all processes."""
        if self.world == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=_device(self.rank))
        distributed.all_reduce(held)
        return float(held)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.world > 1:
            distributed.barrier()


ALONE = Ranks()
_PATIENCE = timedelta(hours=12)
"""The others wait while one fits the baseline, an hour's work of a large collection; torch would give them minutes."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started beside this one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    rank = int(os.environ["RANK"])
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(rank, world)
    finally:
        distributed.destroy_process_group()


def device_of(ranks: Ranks) -> torch.device:
    """Return the device that a process computes on: its own GPU where there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = _device(ranks.rank)
    torch.cuda.set_device(device)
    return device


def _device(rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", str(rank))))
