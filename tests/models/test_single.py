"""An ensemble in one file answers as the daemon's gate does with two."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from cxrd.inference.gate import join
from cxrd.inference.graph import Said
from cxrd.inference.manifest import GateSpec
from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.export.graph import Calibrated, to_onnx
from cxrd_models.export.parity import session
from cxrd_models.export.single import one_graph
from cxrd_models.zoo.contract import Ensemble
from support.architectures import SIDE, films, make

SCALED = Calibration(slope=(2.0, 1.0, 1.5), bias=(0.0, 0.1, -0.1), threshold=(0.5,) * 3, exclusive=True)


def said(graph: ort.InferenceSession, image: np.ndarray) -> Said:
    return Said(*graph.run(["logits", "probs", "heat"], {"image": image}))


@pytest.fixture(scope="module")
def graphs() -> tuple[Ensemble, tuple[onnx.ModelProto, onnx.ModelProto]]:
    """Return both branches as graphs, and their gate."""
    model = make("medconvformer")
    assert model.ensemble
    first, second = (to_onnx(Calibrated(view, SCALED).eval(), (SIDE, SIDE)) for view in model.views().values())
    return model.ensemble, (first, second)


@pytest.mark.parametrize("sure", [0, 2, 4])
def test_one_file_answers_as_the_gate_of_two(
    sure: int, graphs: tuple[Ensemble, tuple[onnx.ModelProto, onnx.ModelProto]]
) -> None:
    """Films above and below the gate in one batch; all above it; all below it."""
    ensemble, (first, second) = graphs
    image = films(4)[0].numpy()
    near, fine = said(session(first), image), said(session(second), image)
    assert near.heat is not None
    assert fine.heat is not None
    tops = np.sort(near.probs.max(axis=1))
    gate = GateSpec(graph="vit.onnx", threshold=float([*tops, 1.0][4 - sure]), weight=0.4)
    grids = (near.heat.shape[2:], fine.heat.shape[2:])

    def ask(unsure: NDArray[np.bool_]) -> Said:
        return Said(fine.logits[unsure], fine.probs[unsure], None if fine.heat is None else fine.heat[unsure])

    expected, asked = join(near, ask, gate, grids[1])
    assert 4 - sure == asked.sum()
    joined = one_graph(first, second, ensemble._replace(threshold=gate.threshold, weight=gate.weight), grids)
    found = said(session(joined), image)
    for mine, theirs in ((expected.logits, found.logits), (expected.probs, found.probs), (expected.heat, found.heat)):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
