"""The exported graph answers as the model does, whatever the batch."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch

from cxrd_models.errors import ParityError
from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.export.graph import Calibrated, describe, store_half, to_onnx
from cxrd_models.export.parity import check_parity, run, session
from cxrd_models.zoo.charm import Charm
from cxrd_models.zoo.charm_parts import CharmOptions
from cxrd_models.zoo.contract import Batch
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid

CLASSES = ("Effusion", "Mass", "Nodule")
SIDE = 64
CALIBRATION = Calibration(slope=(0.5, 1.0, 2.0), bias=(0.1, -1.0, 0.0), threshold=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def model() -> Charm:
    torch.manual_seed(0)
    made = Charm(
        CLASSES,
        (0.01, 0.5, 0.01),
        MobileNetV2Pyramid((18,), (1,)),
        CharmOptions(reduction=128, hidden=16, slots=8, rare_prevalence=0.02),
    )
    image, target = torch.rand(4, 1, SIDE, SIDE), torch.tensor([[1.0, 0, 1]] * 4)
    batch = Batch(image, target, torch.ones_like(target), torch.arange(4))
    made.train()
    made.post_step(batch, made(image).embedding, epoch=0.2)
    return made.eval()


@pytest.fixture(scope="module")
def trained(model: Charm) -> Calibrated:
    return Calibrated(model.views()["model"], CALIBRATION).eval()


@pytest.fixture(scope="module")
def traced(trained: Calibrated) -> onnx.ModelProto:
    return to_onnx(trained, (SIDE, SIDE))


@pytest.fixture(scope="module")
def graph(traced: onnx.ModelProto) -> onnx.ModelProto:
    own = onnx.ModelProto()
    own.CopyFrom(traced)
    return store_half(own)


@pytest.fixture(scope="module")
def image() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).random((6, 1, SIDE, SIDE), np.float32)


def test_the_export_view_answers_as_the_model(model: Charm, image: np.ndarray) -> None:
    """Folding norms and packing the bank change no logit and no heat."""
    films = torch.from_numpy(image)
    with torch.no_grad():
        expected = model(films)
        logits, heat = model.views()["model"](films)
    torch.testing.assert_close(logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(heat, expected.heat, rtol=1e-3, atol=1e-4)


def test_the_graph_is_at_parity_for_every_batch_size(
    graph: onnx.ModelProto, traced: onnx.ModelProto, trained: Calibrated, image: np.ndarray
) -> None:
    """Logits, probabilities and heat agree with torch; batches of 1, 2 and 5 agree with one another."""
    found = check_parity(session(traced), session(graph), trained, image)
    assert found.probs < 1e-4
    assert found.rounded_logits > 0


def test_calibration_is_inside_the_graph(graph: onnx.ModelProto, image: np.ndarray) -> None:
    """Probs = sigmoid(slope * logits + bias)."""
    logits, probs, _ = run(session(graph), image, 6)
    np.testing.assert_allclose(probs, CALIBRATION.apply(logits), rtol=1e-5)


def test_a_graph_of_other_weights_is_refused(
    graph: onnx.ModelProto, traced: onnx.ModelProto, trained: Calibrated, image: np.ndarray
) -> None:
    """The parity check can fail."""
    other = copy.deepcopy(trained)
    with torch.no_grad():
        other.bias.add_(0)
        next(p for n, p in other.named_parameters() if n.endswith("last.weight")).mul_(1.01)
    with pytest.raises(ParityError):
        check_parity(session(traced), session(graph), other, image)


def test_the_graph_does_not_follow_later_training(model: Charm, image: np.ndarray) -> None:
    """An export view is a copy: a later step of the model leaves its answers alone."""
    own = copy.deepcopy(model)
    view = own.views()["model"]
    with torch.no_grad():
        before = view(torch.from_numpy(image))[0]
        for parameter in own.parameters():
            parameter.add_(0.1)
        after = view(torch.from_numpy(image))[0]
    assert torch.equal(before, after)


def test_large_weights_are_stored_as_half_floats(graph: onnx.ModelProto) -> None:
    """No float32 weight of size remains, and the file says what it is without naming a folder."""
    large = [t for t in graph.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) >= 4096]
    assert large == []
    own = onnx.ModelProto()
    own.CopyFrom(graph)
    describe(own, {"id": "charm", "classes": list(CLASSES)})
    assert {p.key: p.value for p in own.metadata_props} == {
        "id": "charm",
        "classes": '["Effusion", "Mass", "Nodule"]',
    }
    assert all(not node.metadata_props and not node.doc_string for node in own.graph.node)
