"""What the trainer and the exporter know of an architecture: this, and nothing else.

Shape legend used in every file of this room: N films, K classes, H x W pixels, h x w cells of the feature
grid, D channels of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor, nn


class Output(NamedTuple):
    """What a classifier answers.

    Attributes
    ----------
    logits : Tensor
        [N, K] float32, uncalibrated.
    heat : Tensor
        [N, K, h, w] float32, >= 0, raw magnitude (a map near zero means "no localisation").
    embedding : Tensor
        [N, D] float32, one vector for each film, such as a memory keeps.
    """

    logits: Tensor
    heat: Tensor
    embedding: Tensor


class Batch(NamedTuple):
    """A training batch.

    Attributes
    ----------
    image : Tensor
        [N, 1, H, W] float32 in 0..1.
    target : Tensor
        [N, K] float32, 0 or 1.
    known : Tensor
        [N, K] float32, 1 where the target may be learnt from.
    ids : Tensor
        [N] int64, stable number of each film in its manifest.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    ids: Tensor


class ChestClassifier(Protocol):
    """A chest film in, logits and heat out. Implementations are ``torch.nn.Module``.

    ``forward`` never changes state; everything that an architecture keeps beside its gradients (momentum
    copies, memories) changes in ``post_step``, which the trainer calls after the optimiser's step.
    """

    classes: tuple[str, ...]
    followers: tuple[str, ...]
    """Prefixes of parameters that ``post_step`` moves, never the optimiser."""

    def __call__(self, image: Tensor, ids: Tensor | None = None) -> Output:
        """Judge [N, 1, H, W] in 0..1; ``ids`` name training films, absent at inference."""
        ...

    def post_step(self, batch: Batch, output: Output, epoch: float) -> None:
        """Update state after an optimiser step; ``epoch`` counts epochs since the start, fractional."""
        ...

    def backbone_prefix(self) -> str:
        """Prefix of the state keys that published backbone weights fill."""
        ...

    def on_backbone_loaded(self) -> None:
        """Follow freshly loaded backbone weights with whatever copies the architecture keeps of them."""
        ...

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D] pooled features of the backbone alone: what a frozen-feature baseline learns from."""
        ...

    def export_view(self) -> nn.Module:
        """Return an eval-mode module ``image -> (logits, heat)`` made of traceable operators only."""
        ...

    def train(self, mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002 - torch's own signature
        """Switch the mode of torch modules."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name every parameter, as torch does."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return every parameter and buffer by name, as torch does."""
        ...
