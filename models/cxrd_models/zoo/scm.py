"""Semantic consistency: attention spreads to neighbouring cells that look alike (arXiv 2207.10447; seed 003).

A block solves ``L y = a`` on the grid, where L couples 4-neighbours by the likeness of their tokens. The
original inverts L by Newton-Schulz steps ``X <- X (2I - L X)`` from ``X = c L^T``; k of them are the first
2^k terms of the Landweber series ``y = sum_j c L^T (I - c L L^T)^j a``, which needs matrix-vector products only and
is twice as fast. Two defects of the original are mended in mode ``paper``: its step diverges for larger
couplings, and each of its blocks turns the sign of the map, so that an odd number points away from the lesion.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Mode = Literal["paper", "seed"]
_SEED_STEP = 0.01
_SEED_GAIN = 5.0
_RIDGE = 1e-6
_SMALL = 1e-6
_ALPHA = 0.002  # share of a block's map in the tokens, from the paper


class Diffusion(nn.Module):
    """One block.

    Parameters
    ----------
    mode : {"paper", "seed"}
        ``paper``: step and coupling are bounded, the map stays positive. ``seed``: the original's arithmetic.
    steps : int
        Newton-Schulz steps, or 2**steps Landweber terms.
    coupling, shrink : float
        Start of lambda (1 to 3 in mode ``paper``) and beta (> 0).
    """

    def __init__(self, mode: Mode, *, steps: int, coupling: float, shrink: float) -> None:
        super().__init__()
        self.mode, self.terms = mode, 2**steps
        if mode == "paper":
            share = min(max((coupling - 1) / 2, 1e-3), 1 - 1e-3)
            self.coupling = nn.Parameter(torch.tensor(math.log(share / (1 - share))))
            self.shrink = nn.Parameter(torch.tensor(math.log(math.expm1(shrink))))
        else:
            self.coupling, self.shrink = nn.Parameter(torch.tensor(coupling)), nn.Parameter(torch.tensor(shrink))

    def forward(self, tokens: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Spread attention [N, 1, h, w] over tokens [N, D, h, w]; returns both, changed."""
        n, _, h, w = tokens.shape
        laplacian = couplings(tokens, self._lambda())
        if self.mode == "seed":
            y = landweber(laplacian, _SEED_GAIN * attention.flatten(1), self.terms, _SEED_STEP)
            d = self.shrink * (y - torch.tanh(y / self.shrink))
            d = d.reshape(n, 1, h, w)
            return tokens * (1 + d), d
        start = attention.flatten(1)
        y = torch.relu(landweber(laplacian, start, self.terms, safe_step(laplacian)))
        u = y / (nn.functional.softplus(self.shrink) * y.amax(dim=1, keepdim=True) + _SMALL)
        d = (u - torch.tanh(u)).reshape(n, 1, h, w)
        peak = (attention + d).amax(dim=(2, 3), keepdim=True)
        return tokens * (1 + _ALPHA * d), (attention + d) / (peak + _SMALL)

    def _lambda(self) -> Tensor:
        return 1 + 2 * torch.sigmoid(self.coupling) if self.mode == "paper" else self.coupling


def couplings(tokens: Tensor, strength: Tensor) -> Tensor:
    """Return L [N, T, T] of tokens [N, D, h, w]: ``(degree - adjacency) * (lambda * E - 1) + 1e-6 I``.

    E in 0..1 is the cosine likeness of two cells, adjacency that of 4-neighbours.
    """
    _, _, h, w = tokens.shape
    unit = nn.functional.normalize(tokens.flatten(2), dim=1)
    likeness = (unit.transpose(1, 2) @ unit + 1) / 2
    plain = grid_laplacian(h, w).to(tokens)
    return plain * (strength * likeness - 1) + _RIDGE * torch.eye(h * w, device=tokens.device, dtype=tokens.dtype)


def grid_laplacian(h: int, w: int) -> Tensor:
    """[T, T] degree minus adjacency of an h x w grid with 4 neighbours."""
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()
    near = (torch.cdist(place, place, p=1) == 1).float()
    return torch.diag(near.sum(dim=1)) - near


def landweber(laplacian: Tensor, start: Tensor, terms: int, step: Tensor | float) -> Tensor:
    """[N, T] regularised solution of L y = start, from L [N, T, T] and start [N, T]."""
    residual = start.unsqueeze(-1)
    y = torch.zeros_like(residual)
    for _ in range(terms):
        part = step * (laplacian.transpose(1, 2) @ residual)
        y = y + part
        residual = residual - laplacian @ part
    return y.squeeze(-1)


def newton_schulz(laplacian: Tensor, start: Tensor, steps: int, step: float) -> Tensor:
    """Solve the same by the original's iteration; here to show that both agree."""
    identity = torch.eye(laplacian.shape[1], device=laplacian.device, dtype=laplacian.dtype)
    x = step * laplacian.transpose(1, 2)
    for _ in range(steps):
        x = x @ (2 * identity - laplacian @ x)
    return (x @ start.unsqueeze(-1)).squeeze(-1)


def safe_step(laplacian: Tensor) -> Tensor:
    """[N, 1, 1] step below 1 / sigma_max(L)^2, by ``sigma^2 <= |L|_1 |L|_inf``."""
    size = laplacian.abs()
    return 1 / (size.sum(dim=1).amax(dim=1) * size.sum(dim=2).amax(dim=1))[:, None, None]
