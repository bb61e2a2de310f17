"""One ONNX graph of a package: asked, and what it says checked before anybody believes it.

A graph takes ``image`` float32 [N, 1, H, W] in 0..1, and ``mask`` where the manifest says so, and gives
``logits`` and ``probs`` [N, K] and, for a model that localises, ``heat`` [N, Kh, h, w] >= 0. Grey to colour, mean
and deviation, calibration and heat are inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import InferenceError, PackageError
from cxrd.inference.manifest import GRAPH, Manifest
from cxrd.inference.session import RUNTIME_ERRORS, open_session

INPUT, MASK = "image", "mask"
ROUNDING = 1e-4  # how far a probability may stray from 0..1, or a sum from 1, by float32 arithmetic
COMPANY = 2e-2  # how far a film's probability may move with its neighbours in a batch (GPU, reduced precision)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Said:
    """What one graph said of a batch.

    Attributes
    ----------
    logits, probs : float32 (N, K)
        Uncalibrated and calibrated; finite, probabilities in 0..1.
    heat : float32 (N, Kh, h, w) or None
        Raw maps, finite, >= 0.
    """

    logits: Floats
    probs: Floats
    heat: Floats | None


class Graph:
    """A graph that has been tried; make one with :func:`open_graph`.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The opened file.
    name : str
        How errors call it.
    manifest : Manifest
        What its inputs and outputs must be.
    any_grid : bool
        Its maps may have a grid of their own, as those of an ensemble's first graph: the manifest names the
        grid that the answer has.
    """

    def __init__(self, session: Any, name: str, manifest: Manifest, *, any_grid: bool) -> None:
        self.name = name
        self.provider = str(session.get_providers()[0])
        self._session = session
        self._manifest = manifest
        self._any_grid = any_grid
        self._outputs = ["logits", "probs", *(["heat"] if manifest.heat else [])]

    def ask(self, told: Mapping[str, Floats]) -> Said:
        """Run a batch.

        Parameters
        ----------
        told : Mapping from input name to float32 (N, 1, H, W), 0..1
            As the manifest has them, N >= 1.

        Raises
        ------
        InferenceError
            The graph failed, or gave a value that is not finite, a probability outside 0..1 or a shape that is
            not the manifest's.
        """
        films = len(told[INPUT])
        try:
            found = self._session.run(self._outputs, dict(told))
        except RUNTIME_ERRORS as error:
            raise InferenceError(
                f"{self.name} failed on {films} film(s): {error}",
                hint="a smaller inference.batch_size where memory ran out; else cxrd models verify",
            ) from error
        arrays = [np.asarray(x, np.float32) for x in found]
        hint = "verify the package: cxrd models verify"
        for name, array in zip(self._outputs, arrays, strict=True):
            expected = self._shape(name, films, array)
            if array.shape != expected:
                raise InferenceError(
                    f"{self.name} gave {name} of shape {array.shape}, its manifest says {expected}", hint=hint
                )
            if not np.isfinite(array).all():
                raise InferenceError(f"{self.name} gave {name} that are no numbers", hint=hint)
        logits, probs = arrays[:2]
        if probs.min() < -ROUNDING or probs.max() > 1 + ROUNDING:
            raise InferenceError(f"{self.name} gave probabilities outside 0..1", hint=hint)
        return Said(logits, np.clip(probs, 0, 1), np.maximum(arrays[2], 0) if len(arrays) > 2 else None)

    def _shape(self, output: str, films: int, array: Floats) -> tuple[int, ...]:
        """Shape that an output must have; of maps with a grid of their own, any rows and columns."""
        classes, spec = len(self._manifest.classes), self._manifest.heat
        if output != "heat" or spec is None:
            return films, classes
        rows, columns = array.shape[2:] if self._any_grid and array.ndim == 4 and array.size else spec.grid
        return films, classes if spec.per_class else 1, rows, columns


def open_graph(folder: Path, file: str, manifest: Manifest, provider: str, threads: int) -> Graph:
    """Open a graph of a package whose digests are checked, and try it.

    Parameters
    ----------
    folder : Path
        The package.
    file : str
        Which of its graphs.
    manifest : Manifest
        The package's manifest.
    provider, threads
        As for :func:`cxrd.inference.session.open_session`.

    Raises
    ------
    PackageError
        The file is no graph, its ends are not the manifest's, it judges films by their company, or CUDA was
        demanded and is not there.
    """
    session = open_session(folder / file, provider, threads)
    name = f"{manifest.id} {manifest.version}" + (f" ({file})" if manifest.gate else "")
    _check_ends(session, name, manifest)
    graph = Graph(session, name, manifest, any_grid=manifest.gate is not None and file == GRAPH)
    _try_out(graph, manifest)
    return graph


def _check_ends(session: Any, name: str, manifest: Manifest) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's, as far as the graph itself tells."""
    inputs = {i.name: (i.type, list(i.shape)) for i in session.get_inputs()}
    outputs = {o.name for o in session.get_outputs()}
    if set(inputs) != set(manifest.inputs):
        raise PackageError(f"{name}: the graph takes {sorted(inputs)}, its manifest says {sorted(manifest.inputs)}")
    expected = [1, manifest.preprocess.height, manifest.preprocess.width]
    for kind, shape in inputs.values():
        if kind != "tensor(float)" or shape[1:] != expected:
            raise PackageError(f"{name}: the graph takes {kind} {shape[1:]}, its preprocessing makes {expected}")
        if isinstance(shape[0], int):
            raise PackageError(
                f"{name}: the graph takes exactly {shape[0]} film(s) at a time",
                hint="export it with a dynamic batch axis",
            )
    wanted = {"logits", "probs"} | ({"heat"} if manifest.heat else set())
    if not wanted <= outputs:
        raise PackageError(f"{name}: the graph does not give {', '.join(sorted(wanted - outputs))}")


def _try_out(graph: Graph, manifest: Manifest) -> None:
    """Run two made-up films together and one alone: right shapes, finite, no film judged by its company."""
    height, width = manifest.preprocess.height, manifest.preprocess.width
    fade = np.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)).astype(np.float32)
    films = np.stack([fade, 1 - fade])[:, np.newaxis]  # unlike each other, so that company would tell
    told: dict[str, Floats] = {name: films if name == INPUT else np.ones_like(films) for name in manifest.inputs}
    try:
        together = graph.ask(told).probs
        alone = graph.ask({name: array[:1] for name, array in told.items()}).probs
    except InferenceError as error:
        raise PackageError(f"warm-up failed: {error.message}", hint=error.hint) from error
    if np.abs(together[0] - alone[0]).max() > COMPANY:
        raise PackageError(
            f"{graph.name}: a film's probabilities depend on the films beside it",
            hint="export the model in evaluation mode",
        )
    if manifest.exclusive and np.abs(together.sum(axis=1) - 1).max() > len(manifest.classes) * ROUNDING:
        raise PackageError(
            f"{graph.name}: its classes exclude each other, but their probabilities do not sum to 1",
            hint="end the graph with a softmax, or make the task multilabel",
        )
