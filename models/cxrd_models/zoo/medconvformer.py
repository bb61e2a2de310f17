"""CNN first, transformer where the CNN is unsure (seed 002, our decisions).

::

    cnn: image -> F [N,C,h,w] -> mean -> MlpHead -> [N,K]
    vit: image -> class token [N,D] -> LayerNorm -> MlpHead -> [N,K]
    answer = p_cnn where max(p_cnn) >= 0.85, else 0.4 p_cnn + 0.6 p_vit

The two branches learn side by side and are exported as two graphs: the gate is the daemon's, on calibrated
probabilities, so that most films cost a CNN only and the share of the others is a metric.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Ensemble, Output, Request
from cxrd_models.zoo.frozen import keep_statistics
from cxrd_models.zoo.heads import Activation, MlpHead, class_maps
from cxrd_models.zoo.mobilenet import FINAL_CHANNELS, Grey, MobileNetV2Features
from cxrd_models.zoo.pretrained import ToBackboneRange, create
from cxrd_models.zoo.vit import PATCH, CompactVit, PublishedVit

SECOND = "vit"
EFFICIENTNET_CHANNELS = 1280


class MedConvFormerOptions(Value):
    """The ``[model]`` table of a recipe; the defaults are the original's.

    Attributes
    ----------
    threshold, weight : float
        The gate, and the share of the CNN in a blend, 0..1.
    hidden : int
        Width of both heads.
    activation : {"gelu", "relu"}
        Of the CNN's head; the original's text says GELU, its code ReLU.
    dropout_in, dropout : float
        Before each layer of the heads.
    pool : {"cls", "mean"}
        What the transformer's head reads.
    width, depth, heads, vit_dropout
        The compact transformer of the small size.
    """

    threshold: float = Field(0.85, ge=0, le=1)
    weight: float = Field(0.4, ge=0, le=1)
    hidden: int = Field(512, ge=1)
    activation: Activation = "gelu"
    dropout_in: float = Field(0.3, ge=0, lt=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    pool: Literal["cls", "mean"] = "cls"
    width: int = Field(192, ge=8)
    depth: int = Field(2, ge=1)
    heads: int = Field(3, ge=1)
    vit_dropout: float = Field(0.1, ge=0, lt=1)


class CnnBranch(nn.Module):
    """Features, their mean, a head.

    Parameters
    ----------
    backbone, scale : nn.Module
        Feature extractor, and what brings a grey film into its range.
    head : MlpHead
        On the mean of the features.
    """

    def __init__(self, backbone: nn.Module, scale: nn.Module, head: MlpHead) -> None:
        super().__init__()
        self.backbone, self.scale, self.head = backbone, scale, head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 1, H, W] to logits [N, K] and heat [N, K, h, w]."""
        features = self.backbone(self.scale(image))
        z = features.mean(dim=(2, 3))
        return self.head(z), class_maps(self.head.gradient(z), features)


class VitBranch(nn.Module):
    """Tokens, and a head on the class token; the same head over each patch tells where.

    Parameters
    ----------
    vit : CompactVit or PublishedVit
        The transformer.
    head : MlpHead
        On the normed class token, or on the mean of the patches.
    pool : {"cls", "mean"}
        Which.
    """

    def __init__(self, vit: CompactVit | PublishedVit, head: MlpHead, pool: str) -> None:
        super().__init__()
        self.vit, self.norm, self.head, self.pool = vit, nn.LayerNorm(vit.width), head, pool

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 1, H, W] to logits [N, K] and heat [N, K, h, w]."""
        seen = self.vit(image)
        n, (h, w) = image.shape[0], self.vit.grid
        z = seen.cls if self.pool == "cls" else seen.patches.mean(dim=1)
        each = self.head(self.norm(seen.patches))
        above = torch.relu(each - each.mean(dim=2, keepdim=True)).transpose(1, 2).reshape(n, -1, h, w)
        return self.head(self.norm(z)), above * seen.attention.mean(dim=1).reshape(n, 1, h, w)


class MedConvFormer(ChestClassifier):
    """Both branches; training judges the blend, the daemon the gate.

    Parameters
    ----------
    classes : tuple of str
        K names that exclude each other.
    cnn, vit
        The branches.
    options : MedConvFormerOptions
        The recipe's figures.
    """

    def __init__(self, classes: tuple[str, ...], cnn: CnnBranch, vit: VitBranch, options: MedConvFormerOptions) -> None:
        super().__init__()
        self.classes, self.published = classes, ("cnn.backbone.", "vit.vit.backbone.")
        self.cnn, self.vit = cnn, vit
        self.ensemble = Ensemble(SECOND, ("branch_cnn", "branch_vit"), options.threshold, options.weight)

    def train(self, mode: bool = True) -> MedConvFormer:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; norms of the backbones keep their statistics."""
        super().train(mode)
        keep_statistics(self.cnn.backbone)
        keep_statistics(self.vit.vit)
        return self

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge films [N, 1, H, W] in 0..1; lungs and numbers are not asked for."""
        first, near = self.cnn(image)
        second, fine = self.vit(image)
        share = self.ensemble.weight if self.ensemble else 0.5
        blend = share * first.softmax(dim=1) + (1 - share) * second.softmax(dim=1)
        near = nn.functional.interpolate(near, size=fine.shape[2:], mode="bilinear", align_corners=False)
        heat = (share * shared(near) + (1 - share) * shared(fine)).detach()
        aux = {"branch_cnn": first, "branch_vit": second}
        return Output(torch.log(blend.clamp(min=1e-12)), heat, blend.detach(), aux)

    def pooled(self, image: Tensor) -> Tensor:
        """[N, C] mean of the CNN's map."""
        features: Tensor = self.cnn.backbone(self.cnn.scale(image))
        return features.mean(dim=(2, 3))

    def views(self) -> Mapping[str, nn.Module]:
        """Two graphs, the CNN first."""
        own = copy.deepcopy(self).eval().requires_grad_(requires_grad=False)
        return {GRAPH: own.cnn, SECOND: own.vit}


def shared(heat: Tensor) -> Tensor:
    """Maps [N, K, h, w] as shares of their sum; an empty one stays empty."""
    total = heat.sum(dim=(2, 3), keepdim=True)
    return heat / torch.where(total > 0, total, torch.ones_like(total))


def _head(asked: Request, options: MedConvFormerOptions, channels: int, activation: Activation) -> MlpHead:
    return MlpHead(
        channels,
        options.hidden,
        len(asked.classes),
        activation=activation,
        dropout_in=options.dropout_in,
        dropout=options.dropout,
    )


def small(asked: Request) -> MedConvFormer:
    """On MobileNetV2 and the compact transformer."""
    options = MedConvFormerOptions.model_validate(asked.options)
    cnn = CnnBranch(MobileNetV2Features(), Grey(), _head(asked, options, FINAL_CHANNELS, options.activation))
    figures: dict[str, Any] = {"width": options.width, "depth": options.depth, "heads": options.heads}
    vit = CompactVit(MobileNetV2Features(stride=PATCH), asked.pixels, **figures, dropout=options.vit_dropout)
    return MedConvFormer(
        asked.classes, cnn, VitBranch(vit, _head(asked, options, options.width, "gelu"), options.pool), options
    )


def full(asked: Request) -> MedConvFormer:
    """On EfficientNet-B0 and ViT-S/16, each with its own published mean and deviation."""
    options = MedConvFormerOptions.model_validate(asked.options)
    net = create("efficientnet_b0", pretrained=asked.pretrained)
    scale = ToBackboneRange(net.pretrained_cfg["mean"], net.pretrained_cfg["std"])
    cnn = CnnBranch(Features(net), scale, _head(asked, options, EFFICIENTNET_CHANNELS, options.activation))
    vit = PublishedVit("vit_small_patch16_224", asked.pixels, pretrained=asked.pretrained)
    return MedConvFormer(
        asked.classes, cnn, VitBranch(vit, _head(asked, options, vit.width, "gelu"), options.pool), options
    )


class Features(nn.Module):
    """The last map of a timm CNN, before pooling.

    Parameters
    ----------
    net : nn.Module
        With ``forward_features``.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, C, h, w]."""
        features: Tensor = self.net.forward_features(image)
        return features
