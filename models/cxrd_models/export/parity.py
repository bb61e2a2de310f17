"""The graph must answer as the trained model does, on real films and for every batch size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from cxrd.findings import Value
from cxrd_models.errors import ParityError
from cxrd_models.export.graph import OUTPUTS
from cxrd_models.export.precision import Precision

BATCHES = (1, 2, 5)
_LOGIT_LIMIT = 1e-4  # absolute and relative to the largest logit
_HEAT_LIMIT = 1e-4  # relative to the largest heat
_ROUNDING_LIMIT = {"fp32": 0.02, "fp16": 0.05, "int8": 0.1}  # absolute, of a probability
_BATCH_LIMIT = {"fp32": 1e-5, "fp16": 1e-2, "int8": 1e-5}  # between batch sizes, relative


class Parity(Value):
    """Largest differences found.

    Attributes
    ----------
    logits, probs : float
        Absolute, between the traced graph and torch.
    heat : float
        Relative to the largest heat value.
    batch : float
        Of the shipped graph, between batch sizes 1, 2, 5 and all films, relative to the largest value.
    rounded_logits, rounded_probs : float
        Absolute, between the shipped graph and the traced one: what its arithmetic costs.
    """

    films: int
    logits: float
    probs: float
    heat: float
    batch: float
    rounded_logits: float
    rounded_probs: float


def session(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    """Open a graph on the CPU, quietly."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(graph: ort.InferenceSession, films: NDArray[np.float32], batch: int) -> list[NDArray[np.float32]]:
    """Return logits, probs, heat of films [n, C, H, W], computed ``batch`` at a time.

    The channels of a film are the inputs of the graph: the image and, where it takes them, lungs.
    """
    names = [i.name for i in graph.get_inputs()]
    parts = []
    for i in range(0, len(films), batch):
        some = films[i : i + batch]
        parts.append(
            graph.run(list(OUTPUTS), {n: np.ascontiguousarray(some[:, c : c + 1]) for c, n in enumerate(names)})
        )
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


@torch.inference_mode()
def check_parity(
    traced: ort.InferenceSession,
    shipped: ort.InferenceSession,
    trained: nn.Module,
    films: NDArray[np.float32],
    precision: Precision = "fp32",
) -> Parity:
    """Compare a traced graph with torch, and the graph that is shipped with the traced one.

    Parameters
    ----------
    traced, shipped : InferenceSession
        In single precision; in the arithmetic of ``precision``.
    trained : nn.Module
        What was traced.

    Raises
    ------
    ParityError
        A difference beyond the limits.
    """
    expected = [output.numpy() for output in trained(*torch.split(torch.from_numpy(films), 1, dim=1))]
    exact, answers = run(traced, films, len(films)), {n: run(shipped, films, n) for n in (*BATCHES, len(films))}
    actual = answers[len(films)]
    found = Parity(
        films=len(films),
        logits=_apart(exact[0], expected[0]),
        probs=_apart(exact[1], expected[1]),
        heat=_apart(exact[2], expected[2]) / (float(np.abs(expected[2]).max()) or 1.0),
        batch=max(
            _apart(a, b) / (float(np.abs(b).max()) or 1.0)
            for size in BATCHES
            for a, b in zip(answers[size], actual, strict=True)
        ),
        rounded_logits=_apart(actual[0], exact[0]),
        rounded_probs=_apart(actual[1], exact[1]),
    )
    limit = _LOGIT_LIMIT * (1 + float(np.abs(expected[0]).max()))
    faults = (
        found.logits > limit,
        found.heat > _HEAT_LIMIT,
        found.batch > _BATCH_LIMIT[precision],
        found.rounded_probs > _ROUNDING_LIMIT[precision],
    )
    if any(faults):
        raise ParityError(f"the exported graph differs from the model: {found}", hint="nothing was written")
    return found


def _apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max())
