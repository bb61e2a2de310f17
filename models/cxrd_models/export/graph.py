"""The ONNX graph: image in; logits, calibrated probabilities and heat out; weights stored as half floats."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from cxrd_models.evaluate.calibration import Calibration

OPSET = 18
OUTPUTS = ("logits", "probs", "heat")
_SMALL = 4096  # elements; smaller weights are not worth a Cast
_HALF_MAX = 65504.0


class Calibrated(nn.Module):
    """An export view with its calibration: ``image[, mask] -> (logits, probs, heat)``.

    Parameters
    ----------
    view : nn.Module
        ``image[, mask] -> (logits, heat)``.
    calibration : Calibration
        Of the K classes.
    """

    slope: Tensor
    bias: Tensor

    def __init__(self, view: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.view, self.exclusive = view, calibration.exclusive
        self.register_buffer("slope", torch.tensor(calibration.slope, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(calibration.bias, dtype=torch.float32))

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 1, H, W] in 0..1, and lungs alike, to logits [N, K], probs [N, K] and heat [N, K, h, w]."""
        logits, heat = self.view(image) if mask is None else self.view(image, mask)
        scaled = logits * self.slope + self.bias
        return logits, scaled.softmax(dim=1) if self.exclusive else torch.sigmoid(scaled), heat


def to_onnx(module: nn.Module, grid: tuple[int, int], inputs: tuple[str, ...] = ("image",)) -> onnx.ModelProto:
    """Trace a `Calibrated` module with any batch size from 1.

    Parameters
    ----------
    grid : tuple of int
        Rows and columns of the inputs.
    inputs : tuple of str
        ``image``, and ``mask`` for a model that takes one.
    """
    examples = tuple(torch.zeros(2, 1, *grid) for _ in inputs)
    films = torch.export.Dim("n", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about its own internals
        program = torch.onnx.export(
            module.eval(),
            examples,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_shapes=tuple({0: films} for _ in inputs),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep large float initialisers as float16 behind a Cast, which the runtime folds away when it loads.

    Done to the traced graph and not to the module before it, because tracing folds norms into weights.

    Raises
    ------
    OverflowError
        A weight that a half float cannot hold.
    """
    graph = model.graph
    casts = []
    for i, tensor in enumerate(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < _SMALL:
            continue
        name, value = tensor.name, numpy_helper.to_array(tensor)
        if np.abs(value).max() > _HALF_MAX:
            raise OverflowError(f"{name} does not fit a half float")
        graph.initializer[i].CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT, name=f"{name}_cast"))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # the tracer's notes would name the initialisers' old type
    onnx.checker.check_model(model)
    return model


def describe(model: onnx.ModelProto, facts: Mapping[str, Any]) -> None:
    """Write facts about the model into the file itself, as strings."""
    helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()})
    for node in model.graph.node:
        del node.metadata_props[:]  # the tracer's stack traces name the machine it ran on
        node.doc_string = ""
