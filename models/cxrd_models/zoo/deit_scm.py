"""DeiT with semantic consistency: where the class token looks, spread over what looks alike (seed 003).

::

    image [N,1,H,W] -> transformer: patch tokens S [N,D,h,w], class attention A [N,1,h,w]
    training: (S', A') = 4 diffusion blocks (S, A);  logits = Linear(mean of S')     [N,K]
    judging:                                          logits = Linear(mean of S)
    heat_k = relu(W_k . S_p) * A   (arXiv 2103.14862); aux scm = A' in 0..1

The logits of judging decompose over the cells: ``mean_p(W_k . S_p) + b_k``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Output, Regression, Request, View
from cxrd_models.zoo.frozen import keep_statistics
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid
from cxrd_models.zoo.scm import Diffusion, Mode
from cxrd_models.zoo.vit import CompactVit, PublishedVit


class DeitScmOptions(Value):
    """The ``[model]`` table of a recipe.

    Attributes
    ----------
    scm_blocks, diffusion_steps, mode, coupling, shrink
        The diffusion, see `Diffusion`; in mode ``seed`` only an even number of blocks points at the lesion.
    always_on : bool
        Diffuse when judging too.
    blocks, levels
        Of the small size: what its tokens are made of, see `MobileNetV2Pyramid`.
    width, depth, heads, dropout
        The compact transformer of the small size.
    stem : {"tiny", "small", "base"}
        Which DeiT the full size takes.
    """

    scm_blocks: int = Field(4, ge=0)
    diffusion_steps: int = Field(4, ge=1, le=8)
    mode: Mode = "paper"
    coupling: float = 2.0
    shrink: float = Field(0.5, gt=0)
    always_on: bool = False
    blocks: tuple[int, ...] = (18,)
    levels: tuple[int, ...] = (1,)
    width: int = Field(192, ge=8)
    depth: int = Field(2, ge=1)
    heads: int = Field(3, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    stem: Literal["tiny", "small", "base"] = "tiny"


class DeitScm(ChestClassifier):
    """The architecture over any transformer of `cxrd_models.zoo.vit`.

    Parameters
    ----------
    classes : tuple of str
        K names.
    vit : CompactVit or PublishedVit
        The transformer.
    options : DeitScmOptions
        The recipe's figures.
    """

    def __init__(self, classes: tuple[str, ...], vit: CompactVit | PublishedVit, options: DeitScmOptions) -> None:
        super().__init__()
        self.classes, self.options, self.published = classes, options, ("vit.backbone.",)
        self.vit = vit
        self.scm = nn.ModuleList(
            Diffusion(options.mode, steps=options.diffusion_steps, coupling=options.coupling, shrink=options.shrink)
            for _ in range(options.scm_blocks)
        )
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(vit.width, len(classes))

    def train(self, mode: bool = True) -> DeitScm:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; norms of the stem keep their statistics."""
        super().train(mode)
        keep_statistics(self.vit)
        return self

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge films [N, 1, H, W] in 0..1; lungs and numbers are not asked for."""
        seen = self.vit(image)
        n, (h, w) = image.shape[0], self.vit.grid
        tokens = seen.patches.transpose(1, 2).reshape(n, -1, h, w)
        heads = seen.attention.reshape(n, -1, h, w)
        attention = heads.mean(dim=1, keepdim=True)
        weighed, spread = tokens, attention
        if self.training or self.options.always_on:
            weighed, spread = self.diffuse(tokens, attention)
        feature = weighed.mean(dim=(2, 3))
        evidence = torch.einsum("kd,ndhw->nkhw", self.head.weight, tokens)
        heat = (torch.relu(evidence) * attention).detach()
        aux = {"attention": heads.detach(), "scm": spread[:, 0].detach()}
        return Output(self.head(self.dropout(feature)), heat, feature.detach(), aux)

    def diffuse(self, tokens: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Run every block over tokens [N, D, h, w] and attention [N, 1, h, w], scaled to a peak of 1."""
        spread = attention if self.options.mode == "seed" else attention / attention.amax(dim=(2, 3), keepdim=True)
        for block in self.scm:
            tokens, spread = block(tokens, spread)
        return tokens, spread

    @torch.no_grad()
    def begin_head(self, found: Regression) -> None:
        """The head is linear already."""
        self.head.weight.copy_(found.weight / found.std)
        self.head.bias.copy_(found.bias - self.head.weight @ found.mean)

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D'] what the published weights alone see."""
        return self.vit.pooled(image)

    def views(self) -> Mapping[str, nn.Module]:
        """One graph."""
        return {GRAPH: View(copy.deepcopy(self))}


def small(asked: Request) -> DeitScm:
    """On the compact transformer."""
    options = DeitScmOptions.model_validate(asked.options)
    figures: dict[str, Any] = {"width": options.width, "depth": options.depth, "heads": options.heads}
    backbone = MobileNetV2Pyramid(options.blocks, options.levels)
    made = DeitScm(asked.classes, CompactVit(backbone, asked.pixels, **figures, dropout=options.dropout), options)
    made.columns, made.embedding = backbone.widths, "vit.embed"
    return made


def full(asked: Request) -> DeitScm:
    """On a DeiT of timm."""
    options = DeitScmOptions.model_validate(asked.options)
    vit = PublishedVit(f"deit_{options.stem}_patch16_224", asked.pixels, pretrained=asked.pretrained)
    return DeitScm(asked.classes, vit, options)
