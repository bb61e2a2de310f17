"""A model package as something that can be run: ONNX Runtime behind one small class.

The graph takes ``image`` float32 [N, 1, H, W] in 0..1 and gives ``logits`` and ``probs`` [N, K] and, where the
manifest says so, ``heat`` [N, Kh, h, w] >= 0. Grey to colour, mean and deviation, calibration and heat are inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cxrd.errors import CxrdError, PackageError
from cxrd.findings import ModelRef
from cxrd.inference.manifest import GRAPH, Manifest
from cxrd.inference.packages import read_package

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
FATAL_ONLY = 4


class InferenceError(CxrdError):
    """A model gave an answer that cannot be one."""


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

    def __init__(self, ref: ModelRef, manifest: Manifest, session: ort.InferenceSession) -> None:
        self.ref = ref
        self.manifest = manifest
        self.provider = str(session.get_providers()[0])
        self._session = session
        self._outputs = ["logits", "probs", *(["heat"] if manifest.heat else [])]

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """Judge a batch.

        Parameters
        ----------
        images : float32 (N, 1, H, W)
            In 0..1, H x W as in the manifest.

        Raises
        ------
        InferenceError
            A value that is not finite, or a shape that is not the manifest's.
        """
        found = self._session.run(self._outputs, {"image": images})
        logits, probs = (np.asarray(x, np.float32) for x in found[:2])
        heat = np.asarray(found[2], np.float32) if self.manifest.heat else None
        expected = (len(images), len(self.manifest.classes))
        name = f"{self.ref.id} {self.ref.version}"
        if probs.shape != expected:
            raise InferenceError(f"{name} gave probabilities of shape {probs.shape}, its manifest says {expected}")
        if not (np.isfinite(probs).all() and (heat is None or np.isfinite(heat).all())):
            raise InferenceError(f"{name} gave values that are no numbers", hint="verify the package: cxrd models verify")
        return Outputs(logits, probs, heat)


def load(folder: Path, provider: str = "auto", threads: int = 0) -> Classifier:
    """Check a package, load its graph and run it once.

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
        The package is not intact, its graph is not what the manifest says, or CUDA was demanded and is not there.
    """
    manifest, digest = read_package(folder)
    session = _session(folder / GRAPH, provider, threads)
    if provider == "cuda" and session.get_providers()[0] != CUDA:
        raise PackageError(
            "inference.provider is cuda, but ONNX Runtime cannot use CUDA here",
            hint="check the driver, pip install 'onnxruntime-gpu[cuda,cudnn]', or set provider to auto",
        )
    _check_ends(session, manifest)
    classifier = Classifier(ModelRef(id=manifest.id, version=manifest.version, digest=digest), manifest, session)
    shape = (1, 1, manifest.preprocess.height, manifest.preprocess.width)
    try:
        outputs = classifier.run(np.full(shape, 0.5, np.float32))
    except CxrdError as error:
        raise PackageError(f"warm-up failed: {error.message}", hint=error.hint) from error
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own unexported kinds
        raise PackageError(f"{manifest.id} {manifest.version} cannot be run: {error}") from error
    _check_heat(outputs, manifest)
    return classifier


def _session(graph: Path, provider: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL_ONLY   # a wheel without its CUDA libraries shouts; the provider in force is logged by us
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")   # several sessions share the cores
    asked = [CPU] if provider == "cpu" else [CUDA, CPU]
    there = [name for name in asked if name in ort.get_available_providers()]
    try:
        return ort.InferenceSession(graph, options, providers=there)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own unexported kinds
        raise PackageError(f"{graph} cannot be loaded: {error}", hint="export the package again") from error


def _check_ends(session: ort.InferenceSession, manifest: Manifest) -> None:
    inputs: dict[str, Any] = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name for o in session.get_outputs()}
    wanted = {"logits", "probs"} | ({"heat"} if manifest.heat else set())
    name = f"{manifest.id} {manifest.version}"
    if set(inputs) != set(manifest.inputs) or "image" not in inputs:
        raise PackageError(f"{name}: the graph takes {sorted(inputs)}, its manifest says {sorted(manifest.inputs)}")
    if not wanted <= outputs:
        raise PackageError(f"{name}: the graph does not give {', '.join(sorted(wanted - outputs))}")
    expected = [1, manifest.preprocess.height, manifest.preprocess.width]
    if inputs["image"][1:] != expected:
        raise PackageError(f"{name}: the graph takes images {inputs['image'][1:]}, its preprocessing makes {expected}")


def _check_heat(outputs: Outputs, manifest: Manifest) -> None:
    spec = manifest.heat
    if spec is None or outputs.heat is None:
        return
    maps = len(manifest.classes) if spec.per_class else 1
    expected = (maps, spec.height, spec.width)
    if outputs.heat.shape[1:] != expected:
        raise PackageError(f"{manifest.id}: heat has shape {outputs.heat.shape[1:]}, its manifest says {expected}")
