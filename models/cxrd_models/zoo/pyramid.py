"""MobileNetV2 that sees a film at several sizes and keeps what several of its blocks make of it.

::

    film [N,3,H,W] -> for each level: mean of level x level pixels -> blocks 0..17
                   -> the kept blocks' maps, averaged to the level's last grid, and the last map itself   (trunk)
    -> final block; each level's maps side by side, repeated to the grid of the largest film [N,D,h,w]      (final)

The columns of several blocks (arXiv 1411.5752) of an image pyramid: earlier blocks know texture where the last one,
taught photographs, looks for things; a large film shows what is fine, a small one what is wide. Averaging and repeating
keep the mean of every map, so that the mean over cells is that of the maps themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cxrd_models.errors import RecipeError
from cxrd_models.zoo.mobilenet import STRIDE, TRUNK_CHANNELS, MobileNetV2Features, outputs

LAST = 18
"""Index of the final block, which is always kept."""


class MobileNetV2Pyramid(MobileNetV2Features):
    """The backbone; keys ``features.*`` are torchvision's.

    Parameters
    ----------
    blocks : tuple of int
        Indices, 0..18, of the blocks whose maps are kept; 18 is among them.
    levels : tuple of int
        By what the sides of the film are divided, rising from 1: ``(1, 2)`` shows it as it is, and at half its size.

    Attributes
    ----------
    channels : int
        D, of all levels together.
    widths : tuple of int
        Channels of each kept map, in their order in D.

    Raises
    ------
    RecipeError
        Blocks or levels that are none.
    """

    def __init__(self, blocks: tuple[int, ...], levels: tuple[int, ...]) -> None:
        super().__init__()
        if sorted(set(blocks)) != list(blocks) or blocks[-1:] != (LAST,) or blocks[0] < 0:
            raise RecipeError(f"blocks {blocks} are none", hint=f"rising numbers of 0..{LAST}, the last one {LAST}")
        if sorted(set(levels)) != list(levels) or levels[:1] != (1,):
            raise RecipeError(f"levels {levels} are none", hint="rising whole numbers, the first one 1")
        self.kept, self.levels, made = blocks[:-1], levels, outputs()
        self.widths = tuple(made[block].channels for block in blocks) * len(levels)
        self.channels = sum(self.widths)
        self.shrink = tuple(STRIDE // made[block].stride for block in self.kept)

    def trunk(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] in -1..1 to the maps before the final block: [N, kept + 320, h / level, w / level] each."""
        return tuple(self._level(_smaller(x, level)) for level in self.levels)

    def _level(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        for number, block in enumerate(list(self.features)[:-1]):
            x = block(x)
            if number in self.kept:
                seen.append(_smaller(x, self.shrink[len(seen)]))
        return _beside([*seen, x])

    @property
    def final(self) -> nn.Module:
        """What follows the trunk, with the final block: all levels' maps [N, D, h, w], of the largest film's grid."""
        return Columns(self.features[-1], self.levels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in -1..1 to [N, D, H/32, W/32]."""
        y: Tensor = self.final(self.trunk(x))
        return y

    def pooled(self, x: Tensor) -> Tensor:
        """[N, 1280] mean of the final map of the smallest film."""
        y: Tensor = self.features(_smaller(x, self.levels[-1]))
        return y.mean(dim=(2, 3))


class Columns(nn.Module):
    """The final block on every level, beside the maps that were kept before it.

    Parameters
    ----------
    block : Module
        [N, 320, h, w] to [N, 1280, h, w]; all levels share it.
    levels : tuple of int
        As many as there are maps.
    """

    def __init__(self, block: nn.Module, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.block, self.levels = block, levels

    def forward(self, trunk: tuple[Tensor, ...]) -> Tensor:
        """Maps [N, kept + 320, h / level, w / level] of each level to [N, D, h, w]."""
        whole: list[Tensor] = []
        for level, seen in zip(self.levels, trunk, strict=True):
            before = seen.shape[1] - TRUNK_CHANNELS
            *kept, last = torch.split(seen, [before, TRUNK_CHANNELS], dim=1) if before else (seen,)
            columns = _beside([*kept, self.block(last)])
            whole.append(nn.functional.interpolate(columns, scale_factor=level) if level > 1 else columns)
        return _beside(whole)


def _smaller(x: Tensor, by: int) -> Tensor:
    """[N, C, H, W] to means of ``by`` x ``by`` cells."""
    return nn.functional.avg_pool2d(x, by) if by > 1 else x


def _beside(maps: list[Tensor]) -> Tensor:
    """Maps of one grid side by side; a single one as it is, to the bit of its gradient."""
    return torch.cat(maps, dim=1) if len(maps) > 1 else maps[0]
