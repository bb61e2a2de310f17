"""Which films make up which batch, by seed and epoch alone."""

from __future__ import annotations

import torch
from torch import Tensor

from cxrd_models.recipe import Phase
from cxrd_models.train.job import Films, Job
from cxrd_models.train.state import Position, generator


def batches(job: Job, phase: Phase, position: Position) -> list[Tensor]:
    """Full batches of training indices of one epoch."""
    random, train = generator(job.recipe.seed, "order", position.trained), job.films.train
    if phase.sampler == "balanced":
        order = train[torch.multinomial(rarity(job.films), len(train), replacement=True, generator=random)]
    else:
        order = train[torch.randperm(len(train), generator=random)]
    size = min(phase.batch, len(order))
    return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]


def rarity(films: Films) -> Tensor:
    """[train films] weight of each: of its rarest class, a film without any counting as one more class."""
    target = films.target[films.train].cpu()
    none = (target.sum(dim=1, keepdim=True) == 0).to(target.dtype)
    groups = torch.cat([target, none], dim=1)
    return (groups / groups.sum(dim=0).clamp(min=1)).amax(dim=1)
