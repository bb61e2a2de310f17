"""The door to timm: the published backbones of the full sizes, with or without their weights.

timm imports torchvision, and a torchvision built for CUDA does not import beside a CPU torch: it describes
operators that its own missing library would have declared. Declaring those two is enough to import it; nothing
here calls them.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, library, nn

from cxrd_models.errors import WeightsError

_MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[library.Library] = []  # torch forgets a declaration with its object


def timm() -> Any:
    """Import timm, also beside a torchvision whose compiled part does not fit this torch."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as fault:
        if "nms" not in str(fault):
            raise
        own = library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _MISSING:
            own.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(own)
    return importlib.import_module("timm")


def create(name: str, *, pretrained: bool, **options: Any) -> Any:
    """Make a timm model without a classifier.

    Parameters
    ----------
    name : str
        As timm knows it, e.g. ``densenet121``.
    pretrained : bool
        Load the published weights; downloads them unless they are in timm's cache.

    Returns
    -------
    nn.Module
        With timm's attributes, which no type describes.

    Raises
    ------
    WeightsError
        The published weights cannot be had.
    """
    try:
        return timm().create_model(name, pretrained=pretrained, num_classes=0, **options)
    except Exception as fault:
        if not pretrained:
            raise
        raise WeightsError(
            f"the published weights of {name} cannot be had: {fault}",
            hint="they need a network the first time; else --init PATH with a file you have, or --init random",
        ) from fault


class ToBackboneRange(nn.Module):
    """[N, 1, H, W] grey in 0..1 to the [N, 3, H, W] that a published backbone was trained on.

    Parameters
    ----------
    mean, std : sequence of float
        Per colour, of the 0..1 scale: what the backbone's ``pretrained_cfg`` says.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Scale."""
        return (image.expand(-1, self.mean.shape[1], -1, -1) - self.mean) / self.std
