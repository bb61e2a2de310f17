"""What every architecture promises: shapes, independence of company, maps that follow the weights, a graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cxrd_models.errors import WeightsError
from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.export.graph import Calibrated, to_onnx
from cxrd_models.export.parity import BATCHES, run, session
from cxrd_models.train.checkpoint import load_backbone
from cxrd_models.zoo.contract import Output
from cxrd_models.zoo.mobilenet import MobileNetV2Features
from support.architectures import SIDE, SMALL, films, judge, make


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("architecture", SMALL)
def test_shapes_and_ranges(architecture: str) -> None:
    """Logits, heat on the architecture's own grid, never negative, never constant."""
    classes, _, grid = SMALL[architecture]
    output = judge(make(architecture), *films())
    assert output.logits.shape == (3, len(classes))
    assert output.heat.shape == (3, len(classes), grid, grid)
    assert float(output.heat.min()) >= 0
    assert float(output.heat.std()) > 0
    assert output.embedding.shape[0] == 3


@pytest.mark.parametrize("architecture", SMALL)
def test_a_film_is_judged_for_itself(architecture: str) -> None:
    """Neither its company in the batch nor the order changes anything."""
    model, (image, lungs) = make(architecture), films()
    together, alone = judge(model, image, lungs), judge(model, image[1:2], lungs[1:2])
    torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.heat[1:2], alone.heat, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_the_map_follows_the_weights(architecture: str) -> None:
    """A map that random weights do not change says nothing about the model (arXiv 1810.03292)."""
    model, told = make(architecture), films()
    before = judge(model, *told).heat
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "head." in name:
                parameter.normal_(std=0.5)
    after = judge(model, *told).heat
    correlation = np.corrcoef(before.flatten().numpy(), after.flatten().numpy())[0, 1]
    assert correlation < 0.9


@pytest.mark.parametrize("architecture", SMALL)
def test_training_learns_and_leaves_frozen_statistics(architecture: str) -> None:
    """A few steps lower the loss of a small batch; no forward pass changes a buffer."""
    model, (image, lungs) = make(architecture), films(4)
    target = torch.nn.functional.one_hot(torch.arange(4) % max(2, len(model.classes))).float()[:, : len(model.classes)]
    before = {name: value.clone() for name, value in model.named_buffers()}
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        output: Output = model.train()(image, lungs if model.takes_mask else None)
        parts = [v for name, v in output.aux.items() if name.startswith("branch_")] or [output.logits]
        loss = sum((nn.functional.binary_cross_entropy_with_logits(p, target) for p in parts), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < losses[0]
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("architecture", SMALL)
def test_the_graph_answers_as_the_model(architecture: str) -> None:
    """Every view, for every batch size, calibration inside."""
    model, (image, lungs) = make(architecture), films(5)
    names = ("image", "mask") if model.takes_mask else ("image",)
    told = torch.cat([image, lungs], dim=1) if model.takes_mask else image
    count = len(model.classes)
    calibration = Calibration(exclusive=count > 1, slope=(1.5,) * count, bias=(0.1,) * count, threshold=(0.5,) * count)
    for view in model.views().values():
        module = Calibrated(view, calibration).eval()
        with torch.no_grad():
            expected = [part.numpy() for part in module(*told.split(1, dim=1))]  # type: ignore[no-untyped-call]  # torch's own
        graph = session(to_onnx(module, (SIDE, SIDE), names))
        for size in BATCHES:
            for actual, wanted in zip(run(graph, told.numpy(), size), expected, strict=True):
                np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-4)
        if count > 1:
            np.testing.assert_allclose(expected[1].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_published_weights_fill_the_whole_backbone(architecture: str) -> None:
    """And nothing else: a file that lacks a key is refused by its name."""
    published = {k: torch.full_like(v, 0.25) for k, v in MobileNetV2Features().state_dict().items()}
    model = make(architecture)
    load_backbone(model, {**published, "classifier.1.weight": torch.zeros(3)}, "a file")
    for prefix in model.published:
        filled = [v for k, v in model.state_dict().items() if k.startswith(prefix) and v.is_floating_point()]
        assert filled
        assert all(bool((v == 0.25).all()) for v in filled)
    published.pop("features.3.conv.0.0.weight")
    with pytest.raises(WeightsError, match=r"features\.3\.conv\.0\.0\.weight"):
        load_backbone(model, published, "a file")
