"""The inference form of CHARM: the head's norm folded, bank packed, only traceable operators."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cxrd_models.zoo.charm_parts import CharmOptions, Head, affine, heat_of
from cxrd_models.zoo.memory import mix
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid
from cxrd_models.zoo.split import SplitCnn


class CharmGraph(nn.Module):
    """The same answers as a `Charm` in eval mode, from constants only.

    Parameters
    ----------
    bank : Tensor
        [S, D] features of rare films; [0, D] answers without memory.
    """

    bank: Tensor

    def __init__(
        self,
        backbone: MobileNetV2Pyramid | SplitCnn,
        momentum: nn.Module,
        attention: nn.Module,
        head: Head,
        *,
        bank: Tensor,
        options: CharmOptions,
    ) -> None:
        super().__init__()
        self.backbone, self.momentum = backbone, momentum
        self.attention, self.options = attention, options
        scale, shift = affine(head.norm)
        self.first = nn.Linear(head.first.in_features, head.first.out_features)
        self.first.weight.data = (head.first.weight * scale).detach()
        self.first.bias.data = (head.first.bias + head.first.weight @ shift).detach()
        self.last = head.last
        self.register_buffer("bank", bank)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 1, H, W] in 0..1 to logits [N, K] and heat [N, K, h, w]."""
        trunk = self.backbone.trunk(self.backbone.scale(image))
        online = self.backbone.final(trunk)
        evidence = online * self.attention(online) + self.momentum(trunk)
        feature = evidence.mean(dim=(2, 3))
        judged = feature + self._retrieve(feature)
        hidden = self.first(judged)
        gradient = ((hidden > 0).to(hidden.dtype)[:, None, :] * self.last.weight[None]) @ self.first.weight
        return self.last(torch.relu(hidden)), heat_of(gradient, evidence)

    def _retrieve(self, feature: Tensor) -> Tensor:
        if self.bank.shape[0] == 0:
            return torch.zeros_like(feature)
        unit = nn.functional.normalize(self.bank, dim=1)
        similarity = nn.functional.normalize(feature, dim=1) @ unit.T
        return mix(similarity, self.bank, k=self.options.k, weights=self.options.weights, tau=self.options.tau)
