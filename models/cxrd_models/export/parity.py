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

BATCHES = (1, 2, 5)
_LOGIT_LIMIT = 1e-4  # absolute and relative to the largest logit
_HEAT_LIMIT = 1e-4  # relative to the largest heat
_HALF_LIMIT = 0.02  # absolute, of a probability: what storing half floats may cost
_BATCH_LIMIT = 1e-5  # between batch sizes, relative


class Parity(Value):
    """Largest differences found.

    Attributes
    ----------
    logits, probs : float
        Absolute, between the graph and torch.
    heat : float
        Relative to the largest heat value.
    batch : float
        Between batch sizes 1, 2, 5 and all films, relative to the largest value, over all outputs.
    half_logits, half_probs : float
        Absolute effect of rounding the weights to half floats, against the full-precision model.
    """

    films: int
    logits: float
    probs: float
    heat: float
    batch: float
    half_logits: float
    half_probs: float


def session(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    """Open a graph on the CPU, quietly."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(graph: ort.InferenceSession, image: NDArray[np.float32], batch: int) -> list[NDArray[np.float32]]:
    """Return logits, probs, heat of films [n, 1, H, W], computed ``batch`` at a time."""
    parts = [graph.run(list(OUTPUTS), {"image": image[i : i + batch]}) for i in range(0, len(image), batch)]
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


@torch.inference_mode()
def check_parity(
    graph: ort.InferenceSession, stored: nn.Module, trained: nn.Module, image: NDArray[np.float32]
) -> Parity:
    """Compare a graph with the torch module it was traced from (``stored``) and the one before rounding.

    Raises
    ------
    ParityError
        A difference beyond the limits.
    """
    films = torch.from_numpy(image)
    expected = [output.numpy() for output in stored(films)]
    answers = {size: run(graph, image, size) for size in (*BATCHES, len(image))}
    actual = answers[len(image)]
    differences = [float(np.abs(a - e).max()) for a, e in zip(actual, expected, strict=True)]
    heat_scale = float(np.abs(expected[2]).max()) or 1.0
    batch = max(
        float(np.abs(a - b).max()) / (float(np.abs(b).max()) or 1.0)
        for size in BATCHES
        for a, b in zip(answers[size], actual, strict=True)
    )
    full = trained(films)
    found = Parity(
        films=len(image),
        logits=differences[0],
        probs=differences[1],
        heat=differences[2] / heat_scale,
        batch=batch,
        half_logits=float(np.abs(full[0].numpy() - expected[0]).max()),
        half_probs=float(np.abs(full[1].numpy() - expected[1]).max()),
    )
    limit = _LOGIT_LIMIT * (1 + float(np.abs(expected[0]).max()))
    faults = (
        found.logits > limit,
        found.heat > _HEAT_LIMIT,
        found.batch > _BATCH_LIMIT,
        found.half_probs > _HALF_LIMIT,
    )
    if any(faults):
        raise ParityError(f"the exported graph differs from the model: {found}", hint="nothing was written")
    return found
