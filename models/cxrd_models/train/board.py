"""What TensorBoard shows of a run: curves, gradients, and what the model looks at on a few films."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxrd_models.zoo.contract import ChestClassifier, Output

_CHANNELS = 16
"""Feature maps shown of each resolution."""
_DIMENSIONS = 4
"""Of a map [N, C, h, w]."""


class Board:
    """A board that shows nothing: what a run has unless one is asked for."""

    def step(self, model: ChestClassifier, number: int, loss: float) -> None:
        """After optimiser step ``number``, while its gradients are there."""

    def epoch(self, model: ChestClassifier, number: int, figures: Mapping[str, float]) -> None:
        """After epoch ``number`` (counted from 1 over all phases), with its figures by name."""

    def close(self) -> None:
        """Write out what is not written yet."""


class TensorBoard(Board):
    """Writes event files for ``tensorboard --logdir``.

    Parameters
    ----------
    folder : Path
        Where the event files go.
    image : Tensor
        [n, 1, H, W] uint8, the films to look at.
    mask : Tensor or None
        [n, 1, H, W] uint8, their lungs.
    every : int
        Steps between two looks at the gradients.
    """

    def __init__(self, folder: Path, image: Tensor, mask: Tensor | None = None, every: int = 50) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - slow to import, and seldom wanted

        self._writer = SummaryWriter(str(folder))
        self._image, self._every = image.float() / 255, every
        self._mask = None if mask is None else mask.float() / 255

    def step(self, model: ChestClassifier, number: int, loss: float) -> None:
        """Draw the loss, and now and then how the gradients of each parameter are distributed."""
        self._writer.add_scalar("step/loss", loss, number)
        if number % self._every == 0:
            for name, parameter in model.named_parameters():
                if parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()):
                    self._writer.add_histogram(f"gradient/{name}", parameter.grad, number)

    @torch.inference_mode()
    def epoch(self, model: ChestClassifier, number: int, figures: Mapping[str, float]) -> None:
        """Draw the figures, and for each film its heat, the attention of each head, and its feature maps."""
        for name, value in figures.items():
            self._writer.add_scalar(f"epoch/{name}", value, number)
        was = model.training
        model.eval()
        with _feature_maps(model) as maps:
            output: Output = model(self._image, self._mask)
        model.train(was)
        strongest = output.logits.argmax(dim=1)
        heat = output.heat if output.heat.shape[1] == 1 else output.heat[range(len(strongest)), strongest, None]
        self._writer.add_images("heat", overlay(self._image, heat), number)
        attention = output.aux.get("attention")
        for head, each in enumerate(() if attention is None else torch.split(attention, 1, dim=1)):
            self._writer.add_images(f"attention/{head}", overlay(self._image, each), number)
        for size, found in sorted(maps.items(), reverse=True):
            self._writer.add_images(f"features/{size[0]}x{size[1]}", _sheet(found[0]), number)
        self._writer.flush()

    def close(self) -> None:
        """Write out what is not written yet."""
        self._writer.close()


@contextmanager
def _feature_maps(model: nn.Module) -> Iterator[dict[tuple[int, int], Tensor]]:
    """Collect the last map [N, C, h, w] of each resolution (h, w) that a forward pass makes."""
    found: dict[tuple[int, int], Tensor] = {}

    def keep(_module: nn.Module, _given: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == _DIMENSIONS and output.shape[1] >= _CHANNELS:
            found[output.shape[2], output.shape[3]] = output

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def overlay(image: Tensor, heat: Tensor) -> Tensor:
    """[N, 3, H, W] in 0..1: films [N, 1, H, W] in grey, heat [N, 1, h, w] in red, each film's own scale."""
    large = functional.interpolate(heat.float(), size=image.shape[2:], mode="bilinear", align_corners=False)
    share = large / large.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
    dimmed = image * (1 - 0.5 * share)
    return torch.cat([(dimmed + 0.5 * share).clamp(max=1), dimmed, dimmed], dim=1)


def _sheet(maps: Tensor) -> Tensor:
    """[_CHANNELS, 1, h, w] in 0..1 of one film's maps [C, h, w], each on its own scale."""
    some = maps[:_CHANNELS, None].float()
    low, high = some.amin(dim=(1, 2, 3), keepdim=True), some.amax(dim=(1, 2, 3), keepdim=True)
    return (some - low) / (high - low).clamp(min=1e-6)
