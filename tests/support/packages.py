"""A tiny model package with a hand-made graph: deterministic, honest about what it looks at.

``probs`` of class k is the mean brightness of the film's k-th vertical stripe, and its heat is the film
itself, averaged on a 4 x 4 grid, within that stripe. So a bright stripe is a positive finding with its box
there. Where classes exclude each other, ``probs`` is a softmax of ten times those means. A package that takes
lungs looks at nothing outside them. An ensemble's second graph counts the stripes from right to left, so that it
contradicts the first, and gives its heat on an 8 x 8 grid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cxrd.vocabulary import TERMS

SIDE, GRID, SECOND_GRID = 64, 4, 8
GATE = {"graph": "vit.onnx", "threshold": 0.8, "weight": 0.25}
CLASSES = ("Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia")


def graph(classes: int, *, exclusive: bool = False, mask: bool = False, second: bool = False) -> bytes:
    """Build the model as ONNX bytes; ``classes`` divides the film into stripes."""
    grid = SECOND_GRID if second else GRID
    stripes = np.zeros((classes, 1, SIDE, SIDE), np.float32)
    for k in range(classes):
        stripes[k, :, :, k * SIDE // classes : (k + 1) * SIDE // classes] = 1
    if second:
        stripes = stripes[::-1].copy()
    constants = {
        "stripes": stripes[None],
        "share": stripes.reshape(classes, -1).T / stripes.reshape(classes, -1).sum(1),
        "flat": np.array([0, SIDE * SIDE], np.int64),
        "gain": np.array(10 if exclusive else 1, np.float32),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
    }
    cell = SIDE // grid
    inputs = ["image", "mask"] if mask else ["image"]
    nodes = [
        helper.make_node("Mul" if mask else "Identity", inputs, ["seen"]),
        helper.make_node("Reshape", ["seen", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "share"], ["means"]),
        helper.make_node("Mul", ["means", "gain"], ["logits"]),
        helper.make_node("Softmax" if exclusive else "Identity", ["logits"], ["probs"]),
        helper.make_node("Unsqueeze", ["seen", "one"], ["films"]),
        helper.make_node("Mul", ["films", "stripes"], ["masked"]),
        helper.make_node("Squeeze", ["masked", "two"], ["maps"]),
        helper.make_node("AveragePool", ["maps"], ["heat"], kernel_shape=[cell, cell], strides=[cell, cell]),
    ]
    made = helper.make_graph(
        nodes,
        "stripes",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, SIDE, SIDE]) for name in inputs],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes]),
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["n", classes]),
            helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["n", classes, grid, grid]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def manifest(classes: Sequence[str], files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """Make a valid manifest as plain JSON; ``changes`` replace keys."""
    grid = SECOND_GRID if changes.get("gate") else GRID
    found: dict[str, Any] = {
        "schema_version": 1,
        "id": "tiny",
        "version": "1.0.0",
        "title": "Brightness of stripes",
        "task": "multilabel",
        "classes": [
            {
                "id": name,
                "role": TERMS[name].role,
                "code": TERMS[name].code.model_dump(),
                "site": TERMS[name].site.model_dump(),
                "threshold": 0.5,
            }
            for name in classes
        ],
        "preprocess": {"id": "plain", "height": SIDE, "width": SIDE},
        "heat": {"kind": "brightness", "height": grid, "width": grid, "per_class": True},
        "intended_use": {"views": ["PA", "AP"], "text": "Tests only."},
        "training": {
            "recipe": "none",
            "recipe_digest": "0" * 64,
            "data_digest": "0" * 64,
            "films": 0,
            "licence": "none",
        },
        "metrics": {},
        "opset": 17,
        "files": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    return found | changes


def make_package(
    folder: Path,
    *,
    classes: Sequence[str] = CLASSES,
    papers: Mapping[str, bytes] = MappingProxyType({}),
    **changes: Any,
) -> Path:
    """Write ``<folder>/<id>/<version>/`` and return it.

    Parameters
    ----------
    folder : Path
        Holds packages, as ``models.dir`` does; made where it is missing. A package there of the same id and
        version is replaced.
    classes : sequence of str
        Names out of ``cxrd.vocabulary.TERMS``; each gets a stripe, from left to right.
    papers : mapping of str to bytes
        Further files, e.g. ``evaluation/predictions.csv``.
    **changes
        Replace keys of the manifest, e.g. ``id="other"``, ``version="2.0.0"``, ``task="multiclass"``;
        ``inputs=["image", "mask"]`` makes graphs that take lungs, ``gate=GATE`` (with ``task="multiclass"``) an
        ensemble.
    """
    exclusive = changes.get("task", "multilabel") != "multilabel" and len(classes) > 1
    mask = "mask" in changes.get("inputs", ())
    files = {"model.onnx": graph(len(classes), exclusive=exclusive, mask=mask)}
    if changes.get("gate"):
        files[changes["gate"]["graph"]] = graph(len(classes), exclusive=exclusive, mask=mask, second=True)
    files |= papers
    found = manifest(classes, files, **changes)
    package = folder / str(found["id"]) / str(found["version"])
    package.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_bytes(data)
    (package / "manifest.json").write_text(json.dumps(found), encoding="utf-8")
    return package
