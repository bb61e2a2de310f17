"""A model package as something that can be run: ONNX Runtime behind one small class.

The graph takes ``image`` float32 [N, 1, H, W] in 0..1 and gives ``logits`` and ``probs`` [N, K] and, where
the manifest says so, ``heat`` [N, Kh, h, w] >= 0. Grey to colour, mean and deviation, calibration and heat
are inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import InferenceError, PackageError
from cxrd.findings import ModelRef
from cxrd.inference.manifest import GRAPH, Manifest
from cxrd.inference.packages import read_package
from cxrd.inference.session import CPU, CUDA, RUNTIME_ERRORS, open_session

__all__ = ["CPU", "CUDA", "Classifier", "InferenceError", "Outputs", "load"]

INPUT = "image"
ROUNDING = 1e-4  # how far a probability may stray from 0..1, or a sum from 1, by float32 arithmetic
COMPANY = 2e-2  # how far a film's probability may move with its neighbours in a batch (GPU, reduced precision)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model said of a batch.

    Attributes
    ----------
    logits, probs : float32 (N, K)
        Uncalibrated and calibrated; probabilities in 0..1.
    heat : float32 (N, Kh, h, w) or None
        Raw maps, >= 0; None for a model that does not localise.
    """

    logits: NDArray[np.float32]
    probs: NDArray[np.float32]
    heat: NDArray[np.float32] | None


class Classifier:
    """A loaded model; make one with :func:`load`.

    Attributes
    ----------
    ref : ModelRef
        Id, version and digest.
    manifest : Manifest
        The package's manifest.
    provider : str
        Execution provider in force, ``CUDAExecutionProvider`` or ``CPUExecutionProvider``.
    """

    def __init__(self, ref: ModelRef, manifest: Manifest, session: Any) -> None:
        self.ref = ref
        self.manifest = manifest
        self.provider = str(session.get_providers()[0])
        self._session = session
        self._name = f"{ref.id} {ref.version}"
        self._image = (1, manifest.preprocess.height, manifest.preprocess.width)
        self._judged = (len(manifest.classes),)
        spec = manifest.heat
        self._maps = (self._judged[0] if spec.per_class else 1, spec.height, spec.width) if spec else None
        self._outputs = ["logits", "probs", *(["heat"] if spec else [])]

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """Judge a batch.

        Parameters
        ----------
        images : float32 (N, 1, H, W)
            In 0..1, H x W as in the manifest, N >= 1.

        Raises
        ------
        InferenceError
            The input is not such a batch; the graph failed, or gave a value that is not finite, a probability
            outside 0..1 or a shape that is not the manifest's.
        """
        if images.dtype != np.float32 or images.shape[1:] != self._image or not len(images):
            raise InferenceError(
                f"{self._name} takes float32 (N, {', '.join(map(str, self._image))}), N >= 1; "
                f"it was given {images.dtype} {images.shape}"
            )
        try:
            found = self._session.run(self._outputs, {INPUT: images})
        except RUNTIME_ERRORS as error:
            raise InferenceError(
                f"{self._name} failed on {len(images)} film(s): {error}",
                hint="a smaller inference.batch_size where memory ran out; else cxrd models verify",
            ) from error
        arrays = [np.asarray(x, np.float32) for x in found]
        logits, probs, heat = arrays[0], arrays[1], arrays[2] if self._maps else None
        self._check(len(images), logits, probs, heat)
        return Outputs(logits, np.clip(probs, 0, 1), None if heat is None else np.maximum(heat, 0))

    def _check(
        self,
        films: int,
        logits: NDArray[np.float32],
        probs: NDArray[np.float32],
        heat: NDArray[np.float32] | None,
    ) -> None:
        hint = "verify the package: cxrd models verify"
        told: list[tuple[str, NDArray[np.float32], tuple[int, ...]]] = [
            ("logits", logits, self._judged),
            ("probs", probs, self._judged),
        ]
        if heat is not None and self._maps is not None:
            told.append(("heat", heat, self._maps))
        for name, array, each in told:
            if array.shape != (films, *each):
                raise InferenceError(
                    f"{self._name} gave {name} of shape {array.shape}, its manifest says {(films, *each)}",
                    hint=hint,
                )
            if not np.isfinite(array).all():
                raise InferenceError(f"{self._name} gave {name} that are no numbers", hint=hint)
        if probs.min() < -ROUNDING or probs.max() > 1 + ROUNDING:
            raise InferenceError(f"{self._name} gave probabilities outside 0..1", hint=hint)


def load(folder: Path, provider: str = "auto", threads: int = 0) -> Classifier:
    """Check a package, load its graph and try it.

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
        The package is not intact, its graph is not what the manifest says, or CUDA was demanded and is not
        there.
    """
    manifest, digest = read_package(folder)
    session = open_session(folder / GRAPH, provider, threads)
    _check_ends(session, manifest)
    classifier = Classifier(ModelRef(id=manifest.id, version=manifest.version, digest=digest), manifest, session)
    _try_out(classifier)
    return classifier


def _check_ends(session: Any, manifest: Manifest) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's, as far as the graph itself tells."""
    name = f"{manifest.id} {manifest.version}"
    inputs = {i.name: (i.type, list(i.shape)) for i in session.get_inputs()}
    outputs = {o.name for o in session.get_outputs()}
    if set(inputs) != set(manifest.inputs):
        raise PackageError(f"{name}: the graph takes {sorted(inputs)}, its manifest says {sorted(manifest.inputs)}")
    if set(inputs) != {INPUT}:
        raise PackageError(f"{name}: the graph takes {sorted(inputs)}, this version of cxrd gives only {INPUT}")
    kind, shape = inputs[INPUT]
    expected = [1, manifest.preprocess.height, manifest.preprocess.width]
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


def _try_out(classifier: Classifier) -> None:
    """Run two made-up films together and one alone: right shapes, finite, no film judged by its company."""
    manifest = classifier.manifest
    name = f"{manifest.id} {manifest.version}"
    height, width = manifest.preprocess.height, manifest.preprocess.width
    fade = np.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)).astype(np.float32)
    films = np.stack([fade, 1 - fade])[:, np.newaxis]  # unlike each other, so that company would tell
    try:
        together, alone = classifier.run(films).probs, classifier.run(films[:1]).probs
    except InferenceError as error:
        raise PackageError(f"warm-up failed: {error.message}", hint=error.hint) from error
    if np.abs(together[0] - alone[0]).max() > COMPANY:
        raise PackageError(
            f"{name}: a film's probabilities depend on the films beside it",
            hint="export the model in evaluation mode",
        )
    if manifest.exclusive and np.abs(together.sum(axis=1) - 1).max() > len(manifest.classes) * ROUNDING:
        raise PackageError(
            f"{name}: its classes exclude each other, but their probabilities do not sum to 1",
            hint="end the graph with a softmax, or make the task multilabel",
        )
