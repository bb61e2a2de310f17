"""Random changes of a batch of training films, all from one generator, so that a step can be repeated."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from cxrd.imaging.preprocess import Preprocess, apply
from cxrd_models.recipe import AugmentRecipe


def augment(
    image: Tensor, recipe: AugmentRecipe, random: Generator, mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return changed copies of films [N, 1, H, W] float32 in 0..1, and of their lungs; same shapes and range.

    Lungs move with their film and keep their tone.
    """
    grid = _grid(image, recipe, random)
    moved = functional.grid_sample(image, grid, padding_mode="zeros", align_corners=False)
    lungs = None if mask is None else functional.grid_sample(mask, grid, padding_mode="zeros", align_corners=False)
    return _tone(_blur(moved, recipe, random), recipe, random), lungs


def _spread(n: int, limit: float, random: Generator) -> Tensor:
    """[n] uniform in -limit..limit."""
    return (torch.rand(n, generator=random) * 2 - 1) * limit


def _grid(image: Tensor, recipe: AugmentRecipe, random: Generator) -> Tensor:
    """[N, H, W, 2] where each pixel of a moved film comes from."""
    n = len(image)
    angle = _spread(n, math.radians(recipe.rotation), random)
    size = 1 + _spread(n, recipe.scale, random)
    flip = torch.where(torch.rand(n, generator=random) < recipe.flip, -1.0, 1.0)
    right, down = _spread(n, recipe.shift * 2, random), _spread(n, recipe.shift * 2, random)
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    theta = torch.stack([torch.stack([cos * flip, -sin, right], 1), torch.stack([sin * flip, cos, down], 1)], 1)
    return functional.affine_grid(theta.to(image), list(image.shape), align_corners=False)


def _blur(image: Tensor, recipe: AugmentRecipe, random: Generator) -> Tensor:
    """Pass some films of the batch through a smaller copy, as a low-resolution archive did."""
    chosen = torch.rand(len(image), generator=random) < recipe.blur
    low, high = recipe.blur_sizes
    side = int(torch.randint(low, high + 1, (), generator=random))
    if not chosen.any():
        return image
    soft = coarser(image, side)
    return torch.where(chosen.to(image.device)[:, None, None, None], soft, image)


def coarser(image: Tensor, side: int) -> Tensor:
    """Return films [N, 1, H, W] as if they came from a ``side`` x ``side`` archive, at their old size.

    Both ways go through the daemon's own resampling, because a film of that size would too: a smoother copy
    would be told from the real thing.
    """
    down, across = (torch.from_numpy(_there_and_back(n, side)).to(image) for n in image.shape[2:])
    return down @ image @ across.T


@lru_cache(maxsize=512)
def _there_and_back(size: int, side: int) -> NDArray[np.float32]:
    """[size, size] matrix that takes ``size`` pixels to ``side`` and back, as preprocessing does."""
    shrink = apply(Preprocess(id="plain", height=side, width=size), np.eye(size, dtype=np.float32))[0]
    grow = apply(Preprocess(id="plain", height=size, width=side), np.eye(side, dtype=np.float32))[0]
    return np.asarray(grow @ shrink, np.float32)


def _tone(image: Tensor, recipe: AugmentRecipe, random: Generator) -> Tensor:
    n = len(image)
    contrast = 1 + _spread(n, recipe.contrast, random)
    brightness = _spread(n, recipe.brightness, random)
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    gain, lift = (x.to(image)[:, None, None, None] for x in (contrast, brightness))
    return ((image - mean) * gain + mean + lift).clamp(0, 1)
