"""The parts that CHARM trains with and infers with: options, attention gate, head, heat."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.errors import RecipeError
from cxrd_models.zoo.contract import Regression
from cxrd_models.zoo.memory import Weights
from cxrd_models.zoo.split import Backbone


class CharmOptions(Value):
    """The ``[model]`` table of a recipe.

    Attributes
    ----------
    backbone : str
        Of the full size; the small one has MobileNetV2.
    blocks, levels
        Of the small size: what the head hears of, see `MobileNetV2Pyramid`.
    attention : {"multiscale", "large_kernel"}
        Gate from three neighbourhoods, or from one large kernel taken apart (arXiv 2202.09741).
    reduction : int
        Each attention convolution has D / reduction channels.
    hidden : int
        Width of the head.
    dropout : float
        Between the head's two layers, 0..1.
    slots, k, weights, tau
        The memory, see `RareMemory`.
    rare_prevalence : float
        A class of lower share among the training films, 0..1, has a ring in the memory.
    momentum : float
        Share of the old weights that the momentum copy keeps at each step, reached after one epoch.
    """

    backbone: Backbone = "efficientnetv2_s"
    blocks: tuple[int, ...] = (18,)
    levels: tuple[int, ...] = (1,)
    attention: Literal["multiscale", "large_kernel"] = "multiscale"
    reduction: int = Field(8, ge=1)
    hidden: int = Field(512, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    slots: int = Field(512, ge=0)
    k: int = Field(3, ge=1)
    weights: Weights = "softmax"
    tau: float = Field(0.1, gt=0)
    rare_prevalence: float = Field(0.02, ge=0, le=1)
    momentum: float = Field(0.99, ge=0, lt=1)


class MultiScaleAttention(nn.Module):
    """[N, D, h, w] to one gate [N, 1, h, w] in 0..1 from 1x1, 3x3 and 5x5 neighbourhoods."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(channels, reduced, k, padding=k // 2) for k in (1, 3, 5))
        self.merge = nn.Conv2d(3 * reduced, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate of each cell."""
        return torch.sigmoid(self.merge(torch.cat([scale(x) for scale in self.scales], dim=1)))


class LargeKernelAttention(nn.Module):
    """[N, D, h, w] to a gate of the same shape: 5x5 and dilated 7x7 depthwise, then 1x1 (21 cells across)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.merge = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate of each cell and channel, unbounded as in the paper."""
        gate: Tensor = self.merge(self.far(self.near(x)))
        return gate


def attention_of(options: CharmOptions, channels: int) -> MultiScaleAttention | LargeKernelAttention:
    """Return the gate that a recipe asks for."""
    if options.attention == "large_kernel":
        return LargeKernelAttention(channels)
    return MultiScaleAttention(channels, max(1, channels // options.reduction))


class Head(nn.Module):
    """BatchNorm, Linear, ReLU, Dropout, Linear; knows its own gradient.

    Parameters
    ----------
    channels, hidden, classes : int
        D, width, K.
    dropout : float
        0..1.
    """

    def __init__(self, channels: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.first = nn.Linear(channels, hidden)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(hidden, classes)

    def forward(self, z: Tensor) -> Tensor:
        """[N, D] to logits [N, K]."""
        logits: Tensor = self.last(self.dropout(torch.relu(self.first(self.norm(z)))))
        return logits

    @torch.no_grad()
    def begin(self, found: Regression) -> None:
        """Answer as ``found`` does, on half of the hidden units: ``relu(x) - relu(-x) = x``, several times over.

        The other half has no weight in the answer yet, and learns what is not linear.

        Raises
        ------
        RecipeError
            Too few hidden units.
        """
        classes = self.last.out_features
        times = self.first.out_features // (4 * classes)
        if not times:
            raise RecipeError(f"a head of {self.first.out_features} units cannot begin as a regression on {classes}")
        used = 2 * classes * times
        self.norm.running_mean, self.norm.running_var = found.mean.clone(), found.std.square()
        self.first.weight[:used] = torch.cat([found.weight, -found.weight]).repeat(times, 1)
        self.first.bias[:used] = 0
        self.last.weight.zero_()
        unit = torch.eye(classes, device=self.last.weight.device)
        self.last.weight[:, :used] = torch.cat([unit, -unit], dim=1).repeat(1, times) / times
        self.last.bias.copy_(found.bias)

    def gradient(self, z: Tensor) -> Tensor:
        """Return d logits / d z, [N, K, D], in eval mode, without autograd."""
        scale, shift = affine(self.norm)
        active = (self.first(z * scale + shift) > 0).to(z.dtype)
        slope: Tensor = (active[:, None, :] * self.last.weight[None]) @ (self.first.weight * scale)
        return slope


def heat_of(gradient: Tensor, evidence: Tensor) -> Tensor:
    """Positive part of g [N, K, D] . s [N, D, h, w]: [N, K, h, w]."""
    return torch.relu(torch.einsum("nkd,ndhw->nkhw", gradient, evidence))


def affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift that a norm applies in eval mode.

    Raises
    ------
    TypeError
        The norm keeps no statistics, so it has no eval form.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("this BatchNorm keeps no statistics")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
