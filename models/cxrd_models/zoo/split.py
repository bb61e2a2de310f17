"""A published CNN in two parts, before and after the place where CHARM's momentum branch leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from torch import Tensor, nn

from cxrd_models.zoo.pretrained import ToBackboneRange, create

Backbone = Literal["efficientnetv2_s", "efficientnet_b0", "resnet50", "densenet121", "vgg16"]


class _Place(NamedTuple):
    """Where timm keeps the stages of a network.

    Attributes
    ----------
    name : str
        As timm knows it.
    inside : str
        Attribute that holds the stages; "" for the network itself.
    split, last : str
        The first and the last stage of the final block.
    channels : int
        Of its output.
    """

    name: str
    inside: str
    split: str
    last: str
    channels: int


_PLACES: Mapping[Backbone, _Place] = MappingProxyType(
    {
        "efficientnetv2_s": _Place("tf_efficientnetv2_s", "", "conv_head", "bn2", 1280),
        "efficientnet_b0": _Place("efficientnet_b0", "", "conv_head", "bn2", 1280),
        "resnet50": _Place("resnet50", "", "layer4", "layer4", 2048),
        "densenet121": _Place("densenet121", "features", "denseblock4", "norm5", 1024),
        "vgg16": _Place("vgg16", "features", "24", "30", 512),
    }
)


class SplitCnn(nn.Module):
    """Stages of a timm network up to its last map; keys ``stages.*`` are timm's.

    Parameters
    ----------
    name : str
        One of `Backbone`.
    pretrained : bool
        Load the published weights.

    Attributes
    ----------
    channels : int
        D of the last map.
    scale : ToBackboneRange
        What brings a grey film into the range of the published weights.
    """

    def __init__(self, name: Backbone, *, pretrained: bool) -> None:
        super().__init__()
        place = _PLACES[name]
        net = create(place.name, pretrained=pretrained)
        stages = dict((getattr(net, place.inside) if place.inside else net).named_children())
        order = list(stages)
        self.stages = nn.ModuleDict({key: stages[key] for key in order[: order.index(place.last) + 1]})
        self.split, self.channels = order.index(place.split), place.channels
        self.scale = ToBackboneRange(net.pretrained_cfg["mean"], net.pretrained_cfg["std"])

    def trunk(self, x: Tensor) -> Tensor:
        """Everything before the final block, of a film [N, 3, H, W] in the backbone's range."""
        for stage in list(self.stages.values())[: self.split]:
            x = stage(x)
        return x

    @property
    def final(self) -> nn.Module:
        """The final block."""
        return nn.Sequential(*list(self.stages.values())[self.split :])

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, D, h, w]."""
        y: Tensor = self.final(self.trunk(x))
        return y

    def pooled(self, x: Tensor) -> Tensor:
        """[N, D] mean of the last map."""
        return self(x).mean(dim=(2, 3))  # type: ignore[no-any-return]  # torch types a module's call as Any
