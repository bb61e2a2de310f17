"""Other arithmetic than single precision: smaller or faster graphs that still answer as the model does."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx import TensorProto

from cxrd_models.errors import ParityError
from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.export.graph import Calibrated, to_onnx
from cxrd_models.export.parity import check_parity, session
from cxrd_models.export.precision import Precision, shipped
from support.architectures import SIDE, make


@pytest.fixture(scope="module")
def trained() -> Calibrated:
    """Return a transformer with weights worth rounding."""
    model = make("deit_scm", width=72, blocks=(18,), levels=(1,))
    calibration = Calibration(slope=(1.0,) * 3, bias=(0.0,) * 3, threshold=(0.5,) * 3)
    return Calibrated(model.views()["model"], calibration).eval()


@pytest.fixture(scope="module")
def films() -> torch.Tensor:
    """Return smooth films: ranges are measured on half of them."""
    torch.manual_seed(2)
    return torch.nn.functional.interpolate(torch.rand(16, 1, 8, 8), size=(SIDE, SIDE), mode="bilinear")


def kinds(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize(("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("int8", TensorProto.INT8)])
def test_rounded_arithmetic_answers_nearly_alike_and_each_film_for_itself(
    precision: Precision, kind: int, trained: Calibrated, films: torch.Tensor
) -> None:
    """Inputs and outputs stay single; the differences are measured and within the limit; company changes nothing."""
    graph = to_onnx(trained, (SIDE, SIDE))
    exact = session(graph)
    small = shipped(graph, precision, films[8:].numpy())
    assert kind in kinds(small)
    opened = session(small)
    assert {tensor.type for tensor in (*opened.get_inputs(), *opened.get_outputs())} == {"tensor(float)"}
    found = check_parity(exact, opened, trained, films[:8].numpy(), precision)
    assert 0 < found.rounded_probs < 0.05


def test_what_rounding_spoils_is_not_shipped(trained: Calibrated, films: torch.Tensor) -> None:
    """A graph whose answers moved further than its precision allows stops the export."""
    moved = Calibrated(trained.view, Calibration(slope=(1.0,) * 3, bias=(3.0, 0.0, 0.0), threshold=(0.5,) * 3)).eval()
    exact, other = (session(to_onnx(each, (SIDE, SIDE))) for each in (trained, moved))
    with pytest.raises(ParityError, match="nothing was written"):
        check_parity(exact, other, trained, films[:8].numpy(), "int8")
