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
    """An export view with its calibration: ``image -> (logits, probs, heat)``.

    Parameters
    ----------
    view : nn.Module
        ``image -> (logits, heat)``.
    calibration : Calibration
        Platt scaling of the K classes.
    """

    slope: Tensor
    bias: Tensor

    def __init__(self, view: nn.Module, calibration: Calibration) -> None:
        super().__init__()
        self.view = view
        self.register_buffer("slope", torch.tensor(calibration.slope, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(calibration.bias, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 1, H, W] in 0..1 to logits [N, K], probs [N, K] and heat [N, K, h, w]."""
        logits, heat = self.view(image)
        return logits, torch.sigmoid(logits * self.slope + self.bias), heat


@torch.no_grad()
def round_to_half(module: Calibrated) -> Calibrated:
    """Round every large weight to the nearest half float, in place, so that storing it as one loses nothing.

    Raises
    ------
    OverflowError
        A weight that a half float cannot hold.
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_floating_point() and value.numel() >= _SMALL:
            if value.abs().max() > _HALF_MAX:
                raise OverflowError(f"{name} does not fit a half float")
            value.copy_(value.half().float())
    return module


def to_onnx(module: nn.Module, grid: tuple[int, int]) -> onnx.ModelProto:
    """Trace a `Calibrated` module with any batch size from 1.

    Parameters
    ----------
    grid : tuple of int
        Rows and columns of the input.
    """
    example = torch.zeros(2, 1, *grid)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about its own internals
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep large float initialisers as float16 behind a Cast, which the runtime folds away when it loads.

    Use after `round_to_half`: then the graph computes with exactly the same numbers.
    """
    graph = model.graph
    casts = []
    for i, tensor in enumerate(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < _SMALL:
            continue
        name = tensor.name
        graph.initializer[i].CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half")
        )
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
