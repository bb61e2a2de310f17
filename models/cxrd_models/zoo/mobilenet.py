"""MobileNetV2 (arXiv 1801.04381), written here so that the small models need neither timm nor torchvision.

Parameter names follow torchvision's ``mobilenet_v2`` so that its published weights load as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

TRUNK_CHANNELS = 320
FINAL_CHANNELS = 1280
STRIDE = 32
# expansion, output channels, repeats, stride of the first repeat (table 2 of the paper)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, TRUNK_CHANNELS, 1, 1),
)


def conv_block(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU6: keys ``0.weight``, ``1.*``."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=False),
    )


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; added to its input where the shapes agree.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        1 or 2.
    expansion : int
        Ratio of the hidden to the input channels; 1 leaves the expansion out.
    dilation : int
        Of the depthwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_block(inputs, hidden, 1)]
        layers += [
            conv_block(hidden, hidden, 3, stride, groups=hidden, dilation=dilation),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, h, w] to [N, outputs, h / stride, w / stride]."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2Features(nn.Module):
    """The ``features`` of torchvision's ``mobilenet_v2``: 19 blocks, index 18 the final 1x1 block.

    Parameters
    ----------
    stride : {32, 16}
        Pixels of a cell. 16 keeps the resolution of the last stages and dilates them instead (as
        arXiv 1802.02611 does): the same weights, four times the cells.
    """

    def __init__(self, stride: int = STRIDE) -> None:
        super().__init__()
        self.channels, self.stride, self.scale = FINAL_CHANNELS, stride, Grey()
        self.features = nn.Sequential(*_blocks(stride))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in -1..1 to [N, 1280, H/stride, W/stride], >= 0."""
        y: Tensor = self.features(x)
        return y

    def pooled(self, x: Tensor) -> Tensor:
        """[N, 1280] mean over the cells that the published stride of 32 has: exactly the published features."""
        every = STRIDE // self.stride
        return self(x)[:, :, ::every, ::every].mean(dim=(2, 3))  # type: ignore[no-any-return]  # torch types a module's call as Any


class Made(NamedTuple):
    """What a block gives.

    Attributes
    ----------
    channels, stride : int
        Of its map; pixels of a cell.
    """

    channels: int
    stride: int


def outputs() -> tuple[Made, ...]:
    """Of the 19 blocks of a network of stride 32, in their order."""
    made = [Made(32, 2)]
    for _, channels, repeats, first in _STAGES:
        made += [Made(channels, made[-1].stride * first)] * repeats
    return (*made, Made(FINAL_CHANNELS, made[-1].stride))


def _blocks(finest: int) -> list[nn.Module]:
    blocks: list[nn.Module] = [conv_block(3, 32, 3, 2)]
    channels, reached, dilation = 32, 2, 1
    for expansion, outputs, repeats, first in _STAGES:
        for i in range(repeats):
            stride, before = first if i == 0 else 1, dilation
            if stride > 1 and reached >= finest:
                stride, dilation = 1, dilation * 2
            reached *= stride
            blocks.append(InvertedResidual(channels, outputs, stride, expansion, before))
            channels = outputs
    return [*blocks, conv_block(channels, FINAL_CHANNELS, 1)]


def _initialise(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)  # by fan-in: a depthwise layer keeps the scale of its input


def to_imagenet_range(image: Tensor) -> Tensor:
    """[N, 1, H, W] grey in 0..1 to [N, 3, H, W] in -1..1 (x / 127.5 - 1 of the 8-bit value)."""
    return torch.cat([image * 2 - 1] * 3, dim=1)


class Grey(nn.Module):
    """`to_imagenet_range` as a part of a model."""

    def forward(self, image: Tensor) -> Tensor:
        """Scale and repeat."""
        return to_imagenet_range(image)
