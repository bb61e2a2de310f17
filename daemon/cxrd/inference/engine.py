"""A model package as something that can be run: one graph, or two with a gate that answer as one model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import InferenceError
from cxrd.findings import ModelRef
from cxrd.inference.gate import join
from cxrd.inference.graph import INPUT, MASK, Graph, open_graph
from cxrd.inference.manifest import GRAPH, Manifest
from cxrd.inference.packages import read_package
from cxrd.inference.session import CPU, CUDA
from cxrd.inference.thresholds import Thresholds, at_site, check_models

__all__ = ["CPU", "CUDA", "Classifier", "InferenceError", "Outputs", "load", "operating"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model said of a batch.

    Attributes
    ----------
    logits, probs : float32 (N, K)
        Uncalibrated and calibrated; probabilities in 0..1. Where two graphs answered, the logits are the natural
        logarithms of the blended probabilities.
    heat : float32 (N, Kh, h, w) or None
        Raw maps, >= 0; None for a model that does not localise. Of an ensemble each map sums to 1 (less where one
        graph's map is empty) on the second graph's grid, whoever answered.
    second : bool (N,)
        Films that needed the second graph of an ensemble; all False for a model of one graph.
    """

    logits: NDArray[np.float32]
    probs: NDArray[np.float32]
    heat: NDArray[np.float32] | None
    second: NDArray[np.bool_]


class Classifier:
    """A loaded model; make one with :func:`load`.

    Attributes
    ----------
    ref : ModelRef
        Id, version and digest.
    manifest : Manifest
        The package's manifest.
    provider : str
        Execution provider in force, ``CUDAExecutionProvider`` or ``CPUExecutionProvider``; CUDA only where
        every graph runs there.
    """

    def __init__(self, ref: ModelRef, manifest: Manifest, first: Graph, second: Graph | None = None) -> None:
        self.ref = ref
        self.manifest = manifest
        self.provider = first.provider if second is None or second.provider == CUDA else second.provider
        self._first, self._second = first, second

    @property
    def takes_mask(self) -> bool:
        """Whether the model wants lungs beside the film."""
        return MASK in self.manifest.inputs

    def at(self, chosen: Thresholds) -> Self:
        """The same graphs under a site's operating points; make it from the loaded model, not from such a one.

        Raises
        ------
        ConfigError
            A threshold of a class that the model does not have, or does not report.
        """
        moved = copy(self)
        moved.manifest = at_site(self.manifest, chosen)
        return moved

    def run(self, images: NDArray[np.float32], masks: NDArray[np.float32] | None = None) -> Outputs:
        """Judge a batch.

        Parameters
        ----------
        images : float32 (N, 1, H, W)
            In 0..1, H x W as in the manifest, N >= 1.
        masks : float32 (N, 1, H, W) or None
            Lungs in 0..1, for a model that takes them; others ignore it.

        Raises
        ------
        InferenceError
            The input is not such a batch; a graph failed, or gave a value that is not finite, a probability
            outside 0..1 or a shape that is not the manifest's.
        """
        told = self._told(images, masks)
        said = self._first.ask(told)
        asked_again = np.zeros(len(images), np.bool_)
        gate, second, spec = self.manifest.gate, self._second, self.manifest.heat
        if gate is not None and second is not None:
            said, asked_again = join(
                said,
                lambda rows: second.ask({name: array[rows] for name, array in told.items()}),
                gate,
                spec.grid if spec else None,
            )
        return Outputs(said.logits, said.probs, said.heat, asked_again)

    def _told(self, images: NDArray[np.float32], masks: NDArray[np.float32] | None) -> dict[str, NDArray[np.float32]]:
        """What the graphs are fed, when it is what they were made for."""
        name = f"{self.ref.id} {self.ref.version}"
        told = {INPUT: images}
        if self.takes_mask:
            if masks is None:
                raise InferenceError(
                    f"{name} takes a lung mask beside the film, and was given none", hint="prepare films for this model"
                )
            told[MASK] = masks
        shape = (1, self.manifest.preprocess.height, self.manifest.preprocess.width)
        for array in told.values():
            fits = array.shape == (len(images), *shape) and len(images) > 0
            if array.dtype != np.float32 or not fits:
                raise InferenceError(
                    f"{name} takes float32 (N, {', '.join(map(str, shape))}), N >= 1; "
                    f"it was given {array.dtype} {array.shape}"
                )
        return told


def load(folder: Path, provider: str = "auto", threads: int = 0) -> Classifier:
    """Check a package, load its graph, or both of an ensemble, and try them.

    Parameters
    ----------
    folder : Path
        ``<id>/<version>/``.
    provider : {"auto", "cuda", "cpu"}
        "auto" takes CUDA where a session really gets it; "cuda" insists.
    threads : int
        Intra-op threads, 0 for one per core.

    Raises
    ------
    PackageError
        The package is not intact, a graph is not what the manifest says, or CUDA was demanded and is not
        there.
    """
    manifest, digest = read_package(folder)
    first = open_graph(folder, GRAPH, manifest, provider, threads)
    second = open_graph(folder, manifest.gate.graph, manifest, provider, threads) if manifest.gate else None
    return Classifier(ModelRef(id=manifest.id, version=manifest.version, digest=digest), manifest, first, second)


def operating(loaded: Sequence[Classifier], chosen: Thresholds) -> tuple[Classifier, ...]:
    """The models that answer, at a site's operating points; whoever judges films judges by these.

    Raises
    ------
    ConfigError
        Thresholds of a model that is not among them, or of a class that one does not have or report.
    """
    check_models(chosen, [classifier.ref.id for classifier in loaded])
    return tuple(classifier.at(chosen) for classifier in loaded)
