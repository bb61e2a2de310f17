"""What the trainer and the exporter know of an architecture: this, and nothing else.

Shape legend used in every file of this room: N films, K classes, H x W pixels, h x w cells of the feature
grid, D channels of the embedding, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from cxrd_models.errors import RecipeError

GRAPH = "model"
"""Name of the view that every package has; a gated ensemble has a second one."""

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Output(NamedTuple):
    """What a classifier answers.

    Attributes
    ----------
    logits : Tensor
        [N, K] float32, uncalibrated.
    heat : Tensor
        [N, K or 1, h, w] float32, >= 0, raw magnitude (a map near zero means "no localisation").
    embedding : Tensor
        [N, D] float32, one vector for each film, such as a memory keeps.
    aux : mapping of str to Tensor
        What only training and pictures need: ``seg`` [N, 1, H, W] lung logits, ``attention`` [N, heads, T, T]
        or [N, heads, h, w], ``branch_<name>`` [N, K] logits of a part that learns on its own.
    """

    logits: Tensor
    heat: Tensor
    embedding: Tensor
    aux: Mapping[str, Tensor] = _NOTHING


class Batch(NamedTuple):
    """A training batch.

    Attributes
    ----------
    image : Tensor
        [N, 1, H, W] float32 in 0..1.
    target : Tensor
        [N, K] float32, 0 or 1; one-hot where the classes exclude each other.
    known : Tensor
        [N, K] float32, 1 where the target may be learnt from.
    ids : Tensor
        [N] int64, stable number of each film in its manifest.
    mask : Tensor or None
        [N, 1, H, W] float32 in 0..1, lungs; all zero where unknown. None for a model that takes none.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    ids: Tensor
    mask: Tensor | None = None


class Request(NamedTuple):
    """What an architecture is built from.

    Attributes
    ----------
    classes : tuple of str
        K names, in the order of the logits.
    prevalence : tuple of float
        Share of each class among the training films, 0..1.
    pixels : tuple of int
        H and W of the input.
    options : mapping
        The recipe's ``[model]`` table.
    pretrained : bool
        Fetch the published backbone weights where the architecture's library knows them.
    """

    classes: tuple[str, ...]
    prevalence: tuple[float, ...]
    pixels: tuple[int, int]
    options: Mapping[str, Any]
    pretrained: bool = False


class Regression(NamedTuple):
    """A linear answer to standardised features z [N, D]: ``weight @ ((z - mean) / std) + bias``.

    Attributes
    ----------
    mean, std : Tensor
        [D], std > 0.
    weight, bias : Tensor
        [K, D] and [K].
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor


class Ensemble(NamedTuple):
    """Two graphs that answer the same question: the second is asked where the first is unsure.

    Attributes
    ----------
    second : str
        Name of the second graph among the views; the first is `GRAPH`.
    branches : tuple of str
        Keys of ``Output.aux`` that hold the logits of the first and of the second.
    threshold : float
        Calibrated probability of the first's strongest class, 0..1, from which it answers alone.
    weight : float
        Share of the first in the blended probabilities, 0..1.
    """

    second: str
    branches: tuple[str, str]
    threshold: float
    weight: float


class ChestClassifier(nn.Module):
    """A chest film in, logits and heat out.

    ``forward`` never changes state; everything that an architecture keeps beside its gradients (momentum
    copies, memories) changes in ``post_step``, which the trainer calls after the optimiser's step.

    Attributes
    ----------
    classes : tuple of str
        K names, in the order of the logits.
    takes_mask : bool
        Whether the model wants lungs beside the film.
    followers : tuple of str
        Prefixes of parameters that ``post_step`` moves, never the optimiser.
    published : tuple of str
        Prefixes of the state keys that published backbone weights fill, each wholly.
    published_unused : tuple of str
        Prefixes of published keys that this architecture has no place for.
    ensemble : Ensemble or None
        Of two graphs, when the second is asked; None for a single graph, which answers ``logits``.
    taught : tuple of str
        Keys of ``Output.aux`` that lungs may teach: "seg" by ``lambda_seg``, "attention" by ``lambda_attention``.
    columns : tuple of int
        Widths of the parts that the backbone's columns consist of, maps of different blocks say: a regression on them
        lets each part weigh alike. Empty for a single part.
    embedding : str
        Name of the linear layer that makes tokens of the columns; empty where the head hears the columns themselves.
    """

    classes: tuple[str, ...]
    takes_mask: bool = False
    followers: tuple[str, ...] = ()
    published: tuple[str, ...] = ("backbone.",)
    published_unused: tuple[str, ...] = ("classifier.",)
    ensemble: Ensemble | None = None
    taught: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    embedding: str = ""

    def forward(self, image: Tensor, mask: Tensor | None = None, ids: Tensor | None = None) -> Output:
        """Judge [N, 1, H, W] in 0..1 with lungs [N, 1, H, W] in 0..1; ``ids`` [N] name training films."""
        raise NotImplementedError

    def post_step(self, batch: Batch, embedding: Tensor, epoch: float) -> None:
        """Update state after an optimiser step.

        Parameters
        ----------
        batch : Batch
            Labels and ids of every film of the step; its ``image`` may hold but a part of them.
        embedding : Tensor
            [N, D] of these films, as ``forward`` gave it.
        epoch : float
            Epochs since the start.
        """

    def on_published_loaded(self) -> None:
        """Follow freshly loaded backbone weights with whatever copies the architecture keeps of them."""

    def begin_head(self, found: Regression) -> None:  # noqa: ARG002 - for those whose head can
        """Make ``head`` answer as a regression on its own input does.

        Raises
        ------
        RecipeError
            The architecture's head cannot.
        """
        raise RecipeError(f"the head of {type(self).__name__} cannot begin as a regression", hint="leave out [probe]")

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D] pooled features of the backbone alone: what a frozen-feature baseline learns from."""
        raise NotImplementedError

    def views(self) -> Mapping[str, nn.Module]:
        """Return the graphs to export, by name: eval-mode modules ``image[, mask] -> (logits, heat)``.

        Only traceable operators, no state left to update. One graph is named `GRAPH`.
        """
        raise NotImplementedError


class View(nn.Module):
    """Logits and heat of a model that needs no other form for inference.

    Parameters
    ----------
    model : ChestClassifier
        Its own copy; put into eval mode.
    """

    def __init__(self, model: ChestClassifier) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[N, 1, H, W] in 0..1 to logits [N, K] and heat."""
        output: Output = self.model(image, mask)
        return output.logits, output.heat
