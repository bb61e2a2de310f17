"""Left, right and whole: tokens of each lung asked by one class token (seed 001, our decisions).

::

    image [N,1,H,W] -> transformer stem, patches [N,h*w,D'] -> 1x1 -> [N,D,h,w] -> upsampled x4 [N,D,4h,4w]
    cut [N] = mean column of the lung mask (0.5 without one), held in 0.25..0.75
    left, right, global: t x t tokens each, by overlap-weighted means -> encoders
    z = class token + mean(global), asking left and right (cross-attention)  [N,D];  logits = Linear(z)
    seg [N,1,H,W] = 1x1 of the upsampled map, an auxiliary task

"Left" is the left half of the picture, which is the patient's right. Geometry is arithmetic without
comparisons, so that half precision moves a border by a fraction of a cell and never a whole one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Output, Request, View
from cxrd_models.zoo.frozen import keep_statistics
from cxrd_models.zoo.mobilenet import MobileNetV2Features
from cxrd_models.zoo.vit import PATCH, Block, CompactVit, PublishedVit

UPSAMPLED = 4
NARROWEST, WIDEST = 0.25, 0.75
_EMPTY = 1e-4  # mean of a mask below which it says nothing
_SMALL = 1e-6


class HybridOptions(Value):
    """The ``[model]`` table of a recipe.

    Attributes
    ----------
    tokens : int
        t; each side and the whole have t x t tokens.
    d_model, depth, heads : int
        D, encoder blocks for each set of tokens, their heads.
    dropout : float
        0..1.
    global_keys : bool
        Let the class token ask the global tokens too.
    lungs : {"mask", "seg_head", "none"}
        Where the cut comes from: an input, the model's own segmentation, or the middle.
    width, vit_depth, vit_heads
        The compact transformer of the small size.
    stem : {"tiny", "small", "base"}
        Which DeiT the full size takes.
    """

    tokens: int = Field(4, ge=1)
    d_model: int = Field(256, ge=8)
    depth: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    global_keys: bool = False
    lungs: Literal["mask", "seg_head", "none"] = "mask"
    width: int = Field(192, ge=8)
    vit_depth: int = Field(2, ge=1)
    vit_heads: int = Field(3, ge=1)
    stem: Literal["tiny", "small", "base"] = "base"


class HybridLungVit(ChestClassifier):
    """The architecture over any transformer of `cxrd_models.zoo.vit`.

    Parameters
    ----------
    classes : tuple of str
        K names.
    vit : CompactVit or PublishedVit
        The stem.
    options : HybridOptions
        The recipe's figures.
    """

    def __init__(self, classes: tuple[str, ...], vit: CompactVit | PublishedVit, options: HybridOptions) -> None:
        super().__init__()
        width = options.d_model
        self.classes, self.options, self.published = classes, options, ("vit.backbone.",)
        self.takes_mask, self.taught = options.lungs == "mask", ("seg", "attention")
        self.vit = vit
        self.project = nn.Conv2d(vit.width, width, 1)
        self.left, self.right, self.whole = (_encoder(options) for _ in range(3))
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.ask, self.keys, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(width, len(classes))
        self.seg = nn.Conv2d(width, 1, 1)

    def train(self, mode: bool = True) -> HybridLungVit:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; norms of the stem keep their statistics."""
        super().train(mode)
        keep_statistics(self.vit)
        return self

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge films [N, 1, H, W] in 0..1 with lungs [N, 1, H, W] in 0..1."""
        seen = self.vit(image)
        n, (h, w), t = image.shape[0], self.vit.grid, self.options.tokens
        cells = self.project(seen.patches.transpose(1, 2).reshape(n, -1, h, w))
        fine = nn.functional.interpolate(cells, scale_factor=UPSAMPLED, mode="bilinear", align_corners=False)
        seg = nn.functional.interpolate(self.seg(fine), size=image.shape[2:], mode="bilinear", align_corners=False)
        cut = self.cut(mask, seg, image)
        rows = overlap(fine.new_zeros(n), fine.new_ones(n), t, UPSAMPLED * h)
        sides = {
            "left": overlap(torch.zeros_like(cut), cut, t, UPSAMPLED * w),
            "right": overlap(cut, torch.ones_like(cut), t, UPSAMPLED * w),
            "whole": overlap(torch.zeros_like(cut), torch.ones_like(cut), t, UPSAMPLED * w),
        }
        tokens = {name: pool(fine, rows, columns) for name, columns in sides.items()}
        left, right, whole = self.left(tokens["left"]), self.right(tokens["right"]), self.whole(tokens["whole"])
        asked = [left, right, whole] if self.options.global_keys else [left, right]
        z, attention = self._fuse(whole.mean(dim=1, keepdim=True) + self.cls, torch.cat(asked, dim=1))
        scattered = scatter(attention[:, :, : 2 * t * t], rows, sides["left"], sides["right"])
        near = nn.functional.avg_pool2d(scattered, UPSAMPLED)
        evidence = torch.einsum("kd,ndhw->nkhw", self.head.weight, cells)
        evidence = evidence - evidence.mean(dim=1, keepdim=True)
        heat = torch.relu(evidence) * near.mean(dim=1, keepdim=True) * seen.attention.mean(1).reshape(n, 1, h, w)
        aux = {"seg": seg, "attention": near}
        return Output(self.head(self.dropout(z)), heat.detach(), z.detach(), aux)

    def cut(self, mask: Tensor | None, seg: Tensor, image: Tensor) -> Tensor:
        """Column [N] that parts the lungs, 0..1 of the width."""
        if self.options.lungs == "seg_head":
            mask = torch.sigmoid(seg)
        if mask is None or self.options.lungs == "none":
            return image.new_full((image.shape[0],), 0.5)
        columns = mask.mean(dim=(1, 2))  # means, not sums: a sum of 224 x 224 leaves half precision
        place = (torch.arange(columns.shape[1], device=image.device, dtype=image.dtype) + 0.5) / columns.shape[1]
        whole = columns.mean(dim=1)
        middle = (columns * place).mean(dim=1) / (whole + _SMALL)
        sure = whole / (whole + _EMPTY)
        return (sure * middle + (1 - sure) * 0.5).clamp(NARROWEST, WIDEST)

    def _fuse(self, query: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Ask tokens [N, T, D] with one query [N, 1, D]: [N, D] and attention [N, heads, T]."""
        n, count, width = tokens.shape
        heads = self.options.heads
        q = self.ask(query).reshape(n, 1, heads, width // heads).transpose(1, 2)
        k, v = self.keys(tokens).reshape(n, count, 2, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q * (width // heads) ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        mixed = (attention @ v).transpose(1, 2).reshape(n, width)
        return self.norm(query[:, 0] + self.out(mixed)), attention[:, :, 0]

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D'] what the published weights alone see."""
        return self.vit.pooled(image)

    def views(self) -> Mapping[str, nn.Module]:
        """One graph, of the film and, where the cut comes from them, its lungs."""
        return {GRAPH: View(copy.deepcopy(self))}


def overlap(start: Tensor, stop: Tensor, parts: int, cells: int) -> Tensor:
    """Weights [N, parts, cells] of means over equal parts of start..stop [N], 0..1 of ``cells`` cells.

    A cell belongs to a part by the share of it that lies inside; the weights of a part sum to 1.
    """
    step = (stop - start)[:, None] / parts
    index = torch.arange(parts, device=start.device, dtype=start.dtype)
    low = (start[:, None] + index * step) * cells
    high = low + step * cells
    cell = torch.arange(cells, device=start.device, dtype=start.dtype)
    inside = torch.minimum(high[..., None], cell + 1) - torch.maximum(low[..., None], cell)
    inside = torch.relu(inside)
    return inside / (inside.sum(dim=2, keepdim=True) + _SMALL)


def pool(fine: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """[N, t * t, D] means of [N, D, h, w] by row and column weights [N, t, h], [N, t, w]."""
    tall = torch.einsum("nth,ndhw->ntdw", rows, fine)
    return torch.einsum("nsw,ntdw->ntsd", columns, tall).flatten(1, 2)


def scatter(attention: Tensor, rows: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Give [N, heads, 2 * t * t] attention back to the cells it was pooled from: [N, heads, h, w]."""
    t = rows.shape[1]
    sides = attention.reshape(*attention.shape[:2], 2, t, t)
    return torch.einsum("nats,nth,nsw->nahw", sides[:, :, 0], rows, left) + torch.einsum(
        "nats,nth,nsw->nahw", sides[:, :, 1], rows, right
    )


def _encoder(options: HybridOptions) -> nn.Sequential:
    return nn.Sequential(*(Block(options.d_model, options.heads, 2, options.dropout) for _ in range(options.depth)))


def small(asked: Request) -> HybridLungVit:
    """On the compact transformer."""
    options = HybridOptions.model_validate(asked.options)
    figures: dict[str, Any] = {"width": options.width, "depth": options.vit_depth, "heads": options.vit_heads}
    return HybridLungVit(
        asked.classes,
        CompactVit(MobileNetV2Features(stride=PATCH), asked.pixels, **figures, dropout=options.dropout),
        options,
    )


def full(asked: Request) -> HybridLungVit:
    """On a DeiT of timm."""
    options = HybridOptions.model_validate(asked.options)
    vit = PublishedVit(f"deit_{options.stem}_patch16_224", asked.pixels, pretrained=asked.pretrained)
    return HybridLungVit(asked.classes, vit, options)
