"""Small models of every architecture, and films to judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cxrd_models.zoo.contract import ChestClassifier, Output, Request
from cxrd_models.zoo.registry import build

SIDE = 64
SMALL: Mapping[str, tuple[tuple[str, ...], dict[str, Any], int]] = {
    "cnn_transformer": (("pneumonia",), {"width": 32, "heads": 4, "feedforward": 64}, 2),
    "hybrid_lung_vit": (("normal", "pneumonia"), {"d_model": 32, "width": 24, "vit_heads": 3, "depth": 1}, 4),
    "medconvformer": (("covid", "normal", "viral"), {"hidden": 32, "width": 24, "depth": 1}, 4),
    "deit_scm": (
        ("atelectasis", "other", "none"),
        {"width": 24, "depth": 2, "blocks": (9, 12, 18), "levels": (1, 2)},
        2,
    ),
}


def make(architecture: str, **options: Any) -> ChestClassifier:
    """A small model whose blocks do something."""
    classes, small, _ = SMALL[architecture]
    asked = Request(classes, (0.3,) * len(classes), (SIDE, SIDE), {**small, **options})
    return awake(build(architecture, "small", asked, seed=1)).eval()


def awake(model: ChestClassifier) -> ChestClassifier:
    """Fresh transformer blocks are the identity, which would hide a fault: give them weights."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.3)
    return model


def films(count: int = 3) -> tuple[Tensor, Tensor]:
    """Films and lungs, none like another."""
    random = torch.Generator().manual_seed(3)
    image = torch.rand(count, 1, SIDE, SIDE, generator=random)
    lungs = torch.zeros_like(image)
    for i in range(count):
        lungs[i, :, 16:48, 8 + 4 * i : 24 + 4 * i] = 1
    return image, lungs


def judge(model: ChestClassifier, image: Tensor, lungs: Tensor) -> Output:
    """Without gradients."""
    with torch.no_grad():
        output: Output = model(image, lungs if model.takes_mask else None)
    return output
