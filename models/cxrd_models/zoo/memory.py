"""A bank of features of rare classes: per-class rings that the trainer fills and a film is compared with.

The original (seed 004) stores *typical* features inside ``forward`` and drops rows when full. Here a row is
stored because its film carries a rare label, after the step, in a ring of its class, with the film's number
so that a film never retrieves itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = Literal["cosine", "softmax"]
_UNUSABLE = -3.0  # below every cosine


class RareMemory(nn.Module):
    """Ring buffers of features, retrieved by cosine similarity.

    Parameters
    ----------
    channels : int
        D of the features.
    rare : tuple of int
        Class indices that own a ring; empty makes a memory that answers zero.
    slots : int
        Rows of the whole bank, shared evenly by the rings; fewer than rings make a memory that answers zero.
    k : int
        Rows that a film retrieves.
    weights : {"cosine", "softmax"}
        ``cosine`` adds up to k raw neighbours (the original), ``softmax`` their convex mean at
        temperature ``tau``, which keeps the norm of one feature.
    """

    features: Tensor
    valid: Tensor
    ids: Tensor
    cursor: Tensor

    def __init__(
        self, channels: int, rare: tuple[int, ...], *, slots: int, k: int, weights: Weights, tau: float
    ) -> None:
        super().__init__()
        rare = rare if slots >= len(rare) else ()
        self.rare, self.k, self.weights, self.tau = rare, k, weights, tau
        self.quota = slots // len(rare) if rare else 0
        rows = self.quota * len(rare)
        self.register_buffer("features", torch.zeros(rows, channels))
        self.register_buffer("valid", torch.zeros(rows, dtype=torch.bool))
        self.register_buffer("ids", torch.full((rows,), -1, dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros(len(rare), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, query: Tensor, ids: Tensor | None = None) -> Tensor:
        """Retrieve [N, D] for a query [N, D]; rows of the films ``ids`` [N] themselves are left out."""
        if not self.rare:
            return torch.zeros_like(query)
        similarity = functional.normalize(query, dim=1) @ functional.normalize(self.features, dim=1).T
        usable = self.valid.expand_as(similarity)
        if ids is not None:
            usable = usable & (ids[:, None] != self.ids[None, :])
        similarity = torch.where(usable, similarity, torch.full_like(similarity, _UNUSABLE))
        return mix(similarity, self.features, k=self.k, weights=self.weights, tau=self.tau)

    @torch.no_grad()
    def write(self, features: Tensor, target: Tensor, ids: Tensor) -> None:
        """Store features [N, D] of the films [N] whose target [N, K] names a rare class wholly, not as a blend."""
        for ring, class_index in enumerate(self.rare):
            rows = torch.nonzero(target[:, class_index] >= 1).flatten()
            rows = rows[-self.quota :]
            at = ring * self.quota + (self.cursor[ring] + torch.arange(len(rows), device=rows.device)) % self.quota
            self.features[at] = features[rows]
            self.valid[at] = True
            self.ids[at] = ids[rows]
            self.cursor[ring] = (self.cursor[ring] + len(rows)) % self.quota

    def snapshot(self) -> Tensor:
        """[rows, D] of the stored features, for a graph without bookkeeping."""
        return self.features[self.valid].clone()


def mix(similarity: Tensor, features: Tensor, *, k: int, weights: Weights, tau: float) -> Tensor:
    """Weighted sum [N, D] of the ``k`` rows of ``features`` [S, D] most similar [N, S] to each film.

    Rows marked unusable weigh nothing; a film without usable rows gets zeros.
    """
    top, rows = similarity.topk(min(k, features.shape[0]), dim=1)
    usable = (top > _UNUSABLE / 2).to(top.dtype)
    share = top if weights == "cosine" else (top / tau).softmax(dim=1)
    return ((share * usable).unsqueeze(-1) * features[rows]).sum(dim=1)
