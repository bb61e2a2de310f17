"""CHARM: multi-scale attention, a momentum branch and a memory of rare findings (seed 004, our decisions).

::

    image [N,1,H,W] -> trunk [N,C,h,w] -> final block F [N,D,h,w]        (online)
                                         -> its momentum copy M [N,D,h,w]  (no gradient)
    A = sigmoid(1x1(conv1(F), conv3(F), conv5(F)))   [N,1,h,w]; or of large kernels, [N,D,h,w]
    s = F*A + M;  f = mean(s) [N,D];  m = memory(f) [N,D]
    logits = Linear(ReLU(Linear(BatchNorm(f + m))))  [N,K]

The head is piecewise linear, so its gradient g_k has a closed form and each logit decomposes exactly:
``logit_k = mean(g_k . s) + g_k . m + b_k``. Heat is the positive part of ``g_k . s``: what each cell adds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cxrd_models.zoo.charm_graph import CharmGraph
from cxrd_models.zoo.charm_parts import CharmOptions, Head, attention_of, heat_of
from cxrd_models.zoo.contract import GRAPH, Batch, ChestClassifier, Output, Regression, Request
from cxrd_models.zoo.memory import RareMemory
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid
from cxrd_models.zoo.split import SplitCnn


class Charm(ChestClassifier):
    """CHARM on a backbone that has a trunk and a final block.

    Parameters
    ----------
    classes : tuple of str
        K names, in the order of the logits.
    prevalence : tuple of float
        Share of each class among the training films, 0..1: which of them are rare.
    backbone : MobileNetV2Pyramid or SplitCnn
        The trunk, and the final block that the momentum branch follows.
    options : CharmOptions
        The recipe's figures.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        prevalence: tuple[float, ...],
        backbone: MobileNetV2Pyramid | SplitCnn,
        options: CharmOptions,
    ) -> None:
        super().__init__()
        self.classes, self.options = classes, options
        self.followers = ("momentum.",)
        self.backbone, channels = backbone, backbone.channels
        self.scale = backbone.scale
        self.momentum = copy.deepcopy(self.backbone.final).requires_grad_(requires_grad=False)
        self.attention = attention_of(options, channels)
        rare = tuple(i for i, share in enumerate(prevalence) if share < options.rare_prevalence)
        self.memory = RareMemory(
            channels, rare, slots=options.slots, k=options.k, weights=options.weights, tau=options.tau
        )
        self.head = Head(channels, options.hidden, len(classes), options.dropout)

    def on_published_loaded(self) -> None:
        """Start the momentum copy from the loaded final block."""
        self.momentum.load_state_dict(self.backbone.final.state_dict())

    def train(self, mode: bool = True) -> Charm:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; the backbone's statistics stay as published (its norms come folded)."""
        super().train(mode)
        self.backbone.eval()
        self.momentum.eval()
        return self

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial evidence s [N, D, h, w] and the momentum branch's map M [N, D, h, w]."""
        trunk = self.backbone.trunk(self.scale(image))
        online = self.backbone.final(trunk)
        with torch.no_grad():
            anchored: Tensor = self.momentum(trunk)
        return online * self.attention(online) + anchored, anchored

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge films [N, 1, H, W] in 0..1; lungs are not asked for."""
        evidence, anchored = self.maps(image)
        feature = evidence.mean(dim=(2, 3))
        judged = feature + self.memory(feature, ids)
        with torch.no_grad():
            heat = heat_of(self.head.gradient(judged), evidence)
        return Output(self.head(judged), heat, anchored.mean(dim=(2, 3)))

    def begin_head(self, found: Regression) -> None:
        """Through its hidden units."""
        self.head.begin(found)

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D'] what the published weights alone see."""
        return self.backbone.pooled(self.scale(image))

    @torch.no_grad()
    def post_step(self, batch: Batch, embedding: Tensor, epoch: float) -> None:
        """Move the momentum copy towards the online block, then store the rare films' anchored features."""
        keep = self.options.momentum * min(1.0, epoch)
        ema_update(self.momentum, self.backbone.final, keep)
        self.memory.write(embedding, batch.target * batch.known, batch.ids)

    def views(self) -> Mapping[str, nn.Module]:
        """One graph, with norms folded, the bank packed and nothing left to update."""
        own = copy.deepcopy(self).eval()
        graph = CharmGraph(
            own.backbone,
            own.momentum,
            own.attention,
            own.head,
            bank=own.memory.snapshot(),
            options=self.options,
        )
        return {GRAPH: graph}


@torch.no_grad()
def ema_update(kept: nn.Module, online: nn.Module, keep: float) -> None:
    """``kept = keep * kept + (1 - keep) * online`` over parameters and float buffers; counters are copied."""
    for old, new in zip(_state(kept), _state(online), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _state(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def small(asked: Request) -> Charm:
    """CHARM on MobileNetV2."""
    options = CharmOptions.model_validate(asked.options)
    backbone = MobileNetV2Pyramid(options.blocks, options.levels)
    made = Charm(asked.classes, asked.prevalence, backbone, options)
    made.columns = backbone.widths
    return made


def full(asked: Request) -> Charm:
    """CHARM on EfficientNetV2-S, or another of the published networks that the original names."""
    options = CharmOptions.model_validate(asked.options)
    made = Charm(asked.classes, asked.prevalence, SplitCnn(options.backbone, pretrained=asked.pretrained), options)
    made.published = ("backbone.stages.",)
    return made
