"""In which arithmetic a graph is shipped: single, half for a GPU, or whole numbers for a transformer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from cxrd_models.export.graph import store_half

Precision = Literal["fp32", "fp16", "int8"]
_SINGLE = ("Softmax", "Sigmoid", "TopK", "ReduceSum", "ReduceMean", "ReduceL2", "Div", "Pow", "Sqrt", "Erf")
"""Operators that stay in single precision: sums over many pixels, norms with small guards, probabilities."""
_BATCH = 8


def shipped(model: onnx.ModelProto, precision: Precision, films: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a traced graph as it is shipped; ``model`` itself may be changed.

    Parameters
    ----------
    precision : {"fp32", "fp16", "int8"}
        ``fp32`` computes in single precision from weights stored as half floats; ``fp16`` computes in half
        precision, inputs and outputs staying single; ``int8`` puts products with weights into whole numbers.
    films : array
        [n, C, H, W] float32 in 0..1: training films, a channel for each input of the graph.
    """
    match precision:
        case "fp16":
            half: onnx.ModelProto = convert_float_to_float16(
                model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_SINGLE]
            )
            once = {tuple(node.output): node for node in half.graph.node}  # it casts a shared tensor once for each user
            del half.graph.node[:]
            half.graph.node.extend(once.values())
            return half
        case "int8":
            return _quantised(model, films)
        case _:
            return store_half(model)


class _Films(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
    """Feeds films to the calibration, a few at a time."""

    def __init__(self, names: tuple[str, ...], films: NDArray[np.float32]) -> None:
        self._batches = iter(
            {name: films[i : i + _BATCH, k : k + 1] for k, name in enumerate(names)}
            for i in range(0, len(films), _BATCH)
        )

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        """Return the next inputs, None after the last."""
        return next(self._batches, None)


def _quantised(model: onnx.ModelProto, films: NDArray[np.float32]) -> onnx.ModelProto:
    """Products with weights in int8, the ranges of their inputs measured; everything else in single precision.

    Ranges are fixed and not taken from each batch, because a film would then be judged by its company. Convolutions
    stay: MobileNetV2's ranges differ too much between channels (measured on charm: probabilities off by 0.5).
    """
    names = tuple(tensor.name for tensor in model.graph.input)
    del model.graph.value_info[:]  # the tracer's notes contradict what the quantiser rewrites
    _unshare(model)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser advises on the root logger
    try:
        with TemporaryDirectory() as scratch:
            whole, done = Path(scratch) / "whole.onnx", Path(scratch) / "done.onnx"
            onnx.save(model, whole)
            quantize_static(
                whole,
                done,
                _Films(names, films),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul", "Gemm"],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,  # 7 bits of weights: processors without VNNI overflow at 8
                extra_options={"MatMulConstBOnly": True},
            )
            return store_half(onnx.load(done))
    finally:
        root.setLevel(level)


def _unshare(model: onnx.ModelProto) -> None:
    """Give each node its own copy of a weight that several use: the quantiser transposes it under the others."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        for place, name in enumerate(node.input):
            if name in tensors and name in seen:
                copy = model.graph.initializer.add()
                copy.CopyFrom(tensors[name])
                copy.name = node.input[place] = f"{name}_{number}"
            seen.add(name)
