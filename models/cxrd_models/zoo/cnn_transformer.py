"""CNN and transformer: a published CNN sees, two encoder blocks relate what it saw (seed 000, our decisions).

::

    image [N,1,H,W] -> backbone F [N,C,h,w] -> tokens [N,h*w,D] = norm(linear(F))
    x = [class token; tokens] + position -> L post-norm encoder blocks -> [N,1+h*w,D]
    z = [class token, mean of the spatial tokens]  [N,2D];  logits = MlpHead(z)  [N,K]

Heat of class k is the positive part of ``g_k . token_p`` with g_k the closed-form gradient of the head with
respect to the spatial half of z. Tokens have met in two blocks of attention, so positions are soft.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Output, Request, View
from cxrd_models.zoo.frozen import keep_statistics
from cxrd_models.zoo.heads import MlpHead, class_maps
from cxrd_models.zoo.mobilenet import FINAL_CHANNELS, Grey, MobileNetV2Features
from cxrd_models.zoo.pretrained import ToBackboneRange, create
from cxrd_models.zoo.vit import dividing

DENSENET_CHANNELS = 1024


class CnnTransformerOptions(Value):
    """The ``[model]`` table of a recipe; the defaults are the original's.

    Attributes
    ----------
    width, heads, feedforward, layers : int
        D, heads, width of the feed-forward network, blocks.
    dropout : float
        0..1, everywhere.
    position : {"sin", "learned"}
        Position encoding; sinusoidal ones serve any number of tokens.
    """

    width: int = Field(512, ge=8)
    heads: int = Field(8, ge=1)
    feedforward: int = Field(1024, ge=8)
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    position: Literal["sin", "learned"] = "sin"


class EncoderBlock(nn.Module):
    """Post-norm encoder block (arXiv 1706.03762) that tells the attention of each head.

    Parameters
    ----------
    options : CnnTransformerOptions
        Its figures.
    """

    def __init__(self, options: CnnTransformerOptions) -> None:
        super().__init__()
        width = options.width
        self.heads = dividing(width, options.heads)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first, self.last = nn.Linear(width, options.feedforward), nn.Linear(options.feedforward, width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, T, D] to the same, and attention [N, heads, T, T]."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attention = ((q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        mixed = (attention @ v).transpose(1, 2).reshape(n, tokens, width)
        x = self.norm1(x + self.dropout(self.proj(mixed)))
        x = self.norm2(x + self.dropout(self.last(self.dropout(nn.functional.gelu(self.first(x))))))
        return x, attention


class CnnTransformer(ChestClassifier):
    """The architecture on any backbone that maps a film to [N, C, h, w].

    Parameters
    ----------
    classes : tuple of str
        K names.
    backbone, scale : nn.Module
        Feature extractor, and what brings a grey film [N, 1, H, W] in 0..1 into its range.
    channels : int
        C.
    cells : int
        h * w for learned positions.
    options : CnnTransformerOptions
        The recipe's figures.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        backbone: nn.Module,
        scale: nn.Module,
        *,
        channels: int,
        cells: int,
        options: CnnTransformerOptions,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.backbone, self.scale = backbone, scale
        self.project, self.norm = nn.Linear(channels, options.width), nn.LayerNorm(options.width)
        self.cls = nn.Parameter(torch.randn(1, 1, options.width) * 0.02)
        learned = options.position == "learned"
        self.position = nn.Parameter(torch.randn(1, 1 + cells, options.width) * 0.02) if learned else None
        self.dropout = nn.Dropout(options.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(options) for _ in range(options.layers))
        self.head = MlpHead(
            2 * options.width, options.width, len(classes), activation="gelu", dropout_in=0, dropout=options.dropout
        )

    def train(self, mode: bool = True) -> CnnTransformer:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; norms of the backbone keep their statistics."""
        super().train(mode)
        keep_statistics(self.backbone)
        return self

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge films [N, 1, H, W] in 0..1; lungs and numbers are not asked for."""
        features = self.backbone(self.scale(image))
        n, _, h, w = features.shape
        tokens = self.norm(self.project(features.flatten(2).transpose(1, 2)))
        x = torch.cat([self.cls.expand(n, -1, -1), tokens], dim=1)
        x = self.dropout(x + (sinusoidal(x) if self.position is None else self.position))
        identity = torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
        rollout, attention = identity, identity
        for block in self.blocks:
            x, attention = block(x)
            rollout = (0.5 * attention.mean(dim=1) + 0.5 * identity) @ rollout
        spatial = x[:, 1:]
        z = torch.cat([x[:, 0], spatial.mean(dim=1)], dim=1)
        gradient = self.head.gradient(z)[:, :, x.shape[2] :]
        heat = class_maps(gradient, spatial.transpose(1, 2).reshape(n, -1, h, w)).detach()
        aux = {
            "attention": attention[:, :, 0, 1:].reshape(n, -1, h, w).detach(),
            "rollout": rollout[:, 0, 1:].reshape(n, h, w).detach(),
        }
        return Output(self.head(z), heat, z.detach(), aux)

    def pooled(self, image: Tensor) -> Tensor:
        """[N, C] mean of the backbone's map."""
        features: Tensor = self.backbone(self.scale(image))
        return features.mean(dim=(2, 3))

    def views(self) -> Mapping[str, nn.Module]:
        """One graph."""
        return {GRAPH: View(copy.deepcopy(self))}


def sinusoidal(x: Tensor) -> Tensor:
    """Position encoding [1, T, D] for tokens [N, T, D] (arXiv 1706.03762, section 3.5)."""
    tokens, width = x.shape[1], x.shape[2]
    place = torch.arange(tokens, device=x.device, dtype=x.dtype)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=x.device, dtype=x.dtype) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).reshape(1, tokens, width)


def small(asked: Request) -> CnnTransformer:
    """On MobileNetV2."""
    options = CnnTransformerOptions.model_validate(asked.options)
    cells = (asked.pixels[0] // 32) * (asked.pixels[1] // 32)
    return CnnTransformer(
        asked.classes, MobileNetV2Features(), Grey(), channels=FINAL_CHANNELS, cells=cells, options=options
    )


def full(asked: Request) -> CnnTransformer:
    """On DenseNet-121 with the ReLU after its last norm, as CheXNet has it."""
    options = CnnTransformerOptions.model_validate(asked.options)
    net = create("densenet121", pretrained=asked.pretrained)
    cells = (asked.pixels[0] // 32) * (asked.pixels[1] // 32)
    scale = ToBackboneRange(net.pretrained_cfg["mean"], net.pretrained_cfg["std"])
    return CnnTransformer(asked.classes, net.features, scale, channels=DENSENET_CHANNELS, cells=cells, options=options)
