"""The inference form of CHARM: norms folded, bank packed, only traceable operators."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrd_models.zoo.charm_parts import CharmOptions, Head, MultiScaleAttention, affine, heat_of
from cxrd_models.zoo.memory import mix
from cxrd_models.zoo.mobilenet import InvertedResidual, MobileNetV2Features, to_imagenet_range


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
        backbone: MobileNetV2Features,
        momentum: nn.Module,
        attention: MultiScaleAttention,
        head: Head,
        *,
        bank: Tensor,
        options: CharmOptions,
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(fold_norms(block) for block in list(backbone.features)[:-1]))
        self.final = fold_norms(backbone.final)
        self.momentum = fold_norms(momentum)
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
        trunk = self.trunk(to_imagenet_range(image))
        online = self.final(trunk)
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


def fold_norms(block: nn.Module) -> nn.Module:
    """Copy a MobileNet block in eval mode with each convolution and its norm folded into one convolution."""
    if isinstance(block, InvertedResidual):
        folded = copy.copy(block)
        folded._modules = {"conv": fold_norms(block.conv)}  # noqa: SLF001 - torch's registry, shallow on purpose
        return folded
    if not isinstance(block, nn.Sequential):
        return block
    layers: list[nn.Module] = []
    for layer in block:
        if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1].eval(), layer.eval())
        else:
            layers.append(fold_norms(layer))
    return nn.Sequential(*layers)
