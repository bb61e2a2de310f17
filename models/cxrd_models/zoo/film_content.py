"""What kind of picture it is: a published CNN that is never changed, and a small head on what it saw.

::

    image [N,1,H,W] -> backbone F [N,C,h,w] -> [mean over the film; mean over each of its four quarters]  [N,5C]
    logits = MlpHead  [N,K]

Few laterals and fewer foreign pictures are open, so nothing but the head learns. The quarters keep what the mean
loses: a film on its head has the same parts in other places.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from cxrd.findings import Value
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Output, Request, View
from cxrd_models.zoo.frozen import keep_statistics
from cxrd_models.zoo.heads import MlpHead, class_maps
from cxrd_models.zoo.mobilenet import FINAL_CHANNELS, Grey, MobileNetV2Features

QUARTERS = 2


class FilmContentOptions(Value):
    """The ``[model]`` table of a recipe.

    Attributes
    ----------
    hidden : int
        Width of the head.
    dropout_in, dropout : float
        Before each of its layers, 0..1.
    """

    hidden: int = Field(64, ge=4)
    dropout_in: float = Field(0.3, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, lt=1)


class FilmContent(ChestClassifier):
    """The architecture on MobileNetV2.

    Parameters
    ----------
    classes : tuple of str
        K names.
    options : FilmContentOptions
        The recipe's figures.
    """

    def __init__(self, classes: tuple[str, ...], options: FilmContentOptions) -> None:
        super().__init__()
        self.classes = classes
        self.backbone, self.scale = MobileNetV2Features(), Grey()
        self.head = MlpHead(
            FINAL_CHANNELS * (1 + QUARTERS**2),
            options.hidden,
            len(classes),
            activation="relu",
            dropout_in=options.dropout_in,
            dropout=options.dropout,
        )

    def train(self, mode: bool = True) -> FilmContent:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode; norms of the backbone keep their statistics."""
        super().train(mode)
        keep_statistics(self.backbone)
        return self

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:  # noqa: ARG002
        """Judge pictures [N, 1, H, W] in 0..1; lungs and numbers are not asked for."""
        features, z = self.seen(image)
        whole = z[:, :FINAL_CHANNELS]
        gradient = self.head.gradient(z)[:, :, :FINAL_CHANNELS]
        return Output(self.head(z), class_maps(gradient, features).detach(), whole.detach())

    def seen(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 1, H, W] in 0..1 to the map F [N, C, h, w] and what the head reads [N, 5C]."""
        features: Tensor = self.backbone(self.scale(image))
        n, channels, h, w = features.shape
        quarters = features.reshape(n, channels, QUARTERS, h // QUARTERS, QUARTERS, w // QUARTERS).mean(dim=(3, 5))
        return features, torch.cat([features.mean(dim=(2, 3)), quarters.flatten(1)], dim=1)

    def pooled(self, image: Tensor) -> Tensor:
        """[N, C] mean of the backbone's map."""
        features: Tensor = self.backbone(self.scale(image))
        return features.mean(dim=(2, 3))

    def views(self) -> Mapping[str, nn.Module]:
        """One graph."""
        return {GRAPH: View(copy.deepcopy(self))}


def small(asked: Request) -> FilmContent:
    """On MobileNetV2; the grid must be a multiple of 64 pixels, so that it has quarters."""
    return FilmContent(asked.classes, FilmContentOptions.model_validate(asked.options))
