"""A gated ensemble as one graph, for runtimes that know no gate: ONNX's own ``If`` asks the second branch.

::

    first -> p1, heat1;   unsure = max(p1) < threshold, film by film
    If any film is unsure: second -> blend;   Where unsure: the blend, else what the first said

A batch costs the second branch as soon as one of its films is unsure; the answers are those of
`cxrd.inference.gate.join`.
"""

from __future__ import annotations

import onnx
from onnx import GraphProto, NodeProto, TensorProto, compose, helper

from cxrd_models.export.graph import OUTPUTS
from cxrd_models.zoo.contract import Ensemble

_FLOOR = 1e-12  # of a probability before its logarithm, as the daemon's


def one_graph(
    first: onnx.ModelProto, second: onnx.ModelProto, ensemble: Ensemble, grids: tuple[tuple[int, int], tuple[int, int]]
) -> onnx.ModelProto:
    """Join two graphs of the same inputs.

    Parameters
    ----------
    first, second : ModelProto
        ``image[, mask] -> (logits, probs, heat)``.
    grids : tuple of (rows, columns)
        Of the maps of both; the answer has the second's.
    """
    inputs = [i.name for i in first.graph.input]
    one, two = _renamed(first, "first_", inputs), _renamed(second, "second_", inputs)
    (near_rows, near_columns), (rows, columns) = grids
    asked = helper.make_graph(
        [
            *two.node,
            *_shares("second_heat", "second_share"),
            *_blend("first_probs", "second_probs", "asked_probs"),
            *_blend("first_share", "second_share", "asked_heat"),
        ],
        "second branch",
        [],
        [_output("asked_probs"), _output("asked_heat")],
        [*two.initializer],
    )
    sure = helper.make_graph(
        [
            helper.make_node("Identity", ["first_probs"], ["sure_probs"]),
            helper.make_node("Identity", ["first_share"], ["sure_heat"]),
        ],
        "first branch alone",
        [],
        [_output("sure_probs"), _output("sure_heat")],
    )
    node = helper.make_node
    nodes = [
        *one.node,
        node("Resize", ["first_heat", "", "zoom"], ["near_heat"], mode="linear"),
        *_shares("near_heat", "first_share"),
        node("ReduceMax", ["first_probs", "per_film"], ["strongest"], keepdims=1),
        node("Less", ["strongest", "threshold"], ["unsure"]),
        node("Cast", ["unsure"], ["unsure_count"], to=TensorProto.FLOAT),
        node("ReduceMax", ["unsure_count"], ["unsure_any"], keepdims=0),
        node("Cast", ["unsure_any"], ["ask"], to=TensorProto.BOOL),
        node("If", ["ask"], ["joint_probs", "joint_heat"], then_branch=asked, else_branch=sure),
        node("Where", ["unsure", "joint_probs", "first_probs"], ["probs"]),
        node("Max", ["joint_probs", "floor"], ["joint_held"]),
        node("Log", ["joint_held"], ["joint_logits"]),
        node("Where", ["unsure", "joint_logits", "first_logits"], ["logits"]),
        node("Unsqueeze", ["unsure", "map_axes"], ["unsure_maps"]),
        node("Where", ["unsure_maps", "joint_heat", "first_share"], ["heat"]),
    ]
    figures = {
        "threshold": ensemble.threshold,
        "weight": ensemble.weight,
        "other_weight": 1 - ensemble.weight,
        "floor": _FLOOR,
        "nothing": 0.0,
        "unit": 1.0,
    }
    constants = [
        *(helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in figures.items()),
        helper.make_tensor("zoom", TensorProto.FLOAT, [4], [1, 1, rows / near_rows, columns / near_columns]),
        helper.make_tensor("per_film", TensorProto.INT64, [1], [1]),
        helper.make_tensor("map_axes", TensorProto.INT64, [2], [2, 3]),
        helper.make_tensor("cells", TensorProto.INT64, [2], [2, 3]),
    ]
    outputs = [o for name in OUTPUTS for o in second.graph.output if o.name == name]  # their shapes are the answer's
    graph = helper.make_graph(nodes, first.graph.name, first.graph.input, outputs, [*one.initializer, *constants])
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    onnx.checker.check_model(model)
    return model


def _renamed(model: onnx.ModelProto, prefix: str, inputs: list[str]) -> GraphProto:
    """Return a graph whose every name but the inputs' begins with a prefix."""
    graph = compose.add_prefix(model, prefix).graph
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name.removeprefix(prefix) in inputs:
                node.input[i] = name.removeprefix(prefix)
    return graph


def _shares(heat: str, share: str) -> list[NodeProto]:
    """Each map divided by its sum; an empty one stays empty."""
    return [
        helper.make_node("ReduceSum", [heat, "cells"], [f"{share}_sum"], keepdims=1),
        helper.make_node("Greater", [f"{share}_sum", "nothing"], [f"{share}_some"]),
        helper.make_node("Where", [f"{share}_some", f"{share}_sum", "unit"], [f"{share}_whole"]),
        helper.make_node("Div", [heat, f"{share}_whole"], [share]),
    ]


def _blend(first: str, second: str, blended: str) -> list[NodeProto]:
    return [
        helper.make_node("Mul", [first, "weight"], [f"{blended}_first"]),
        helper.make_node("Mul", [second, "other_weight"], [f"{blended}_second"]),
        helper.make_node("Add", [f"{blended}_first", f"{blended}_second"], [blended]),
    ]


def _output(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
