"""CHARM: closed-form heat, exact decomposition, and what may change when."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.export.graph import Calibrated, to_onnx
from cxrd_models.export.parity import run, session
from cxrd_models.zoo.charm import Charm, ema_update
from cxrd_models.zoo.charm_parts import CharmOptions, affine
from cxrd_models.zoo.contract import Batch, Request
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid
from cxrd_models.zoo.registry import build
from cxrd_models.zoo.split import SplitCnn

CLASSES = ("Effusion", "Mass", "Nodule")
SIDE = 64


def films(n: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> Charm:
    """Build a small CHARM with a filled memory and head statistics that are not the identity."""
    torch.manual_seed(0)
    made = Charm(
        CLASSES,
        (0.01, 0.5, 0.01),
        MobileNetV2Pyramid((18,), (1,)),
        CharmOptions(reduction=64, hidden=32, slots=8, rare_prevalence=0.02),
    )
    for _ in range(2):
        made.train()
        target = torch.tensor([[1.0, 0, 0], [0, 1, 1], [1, 0, 1]])
        batch = Batch(films(), target, torch.ones_like(target), torch.arange(3))
        made.post_step(batch, made(batch.image, batch.ids).embedding, epoch=0.5)
    return made.eval()


def test_shapes(model: Charm) -> None:
    """[N, 1, H, W] gives logits [N, K], heat [N, K, H/32, W/32] >= 0 and an embedding [N, 1280]."""
    output = model(films())
    assert tuple(output.logits.shape) == (3, 3)
    assert tuple(output.heat.shape) == (3, 3, 2, 2)
    assert tuple(output.embedding.shape) == (3, 1280)
    assert output.heat.min() >= 0


def test_heat_is_grad_cam(model: Charm) -> None:
    """The closed form equals autograd: positive part of (gradient of the logit) . evidence, cell by cell."""
    evidence, _ = model.maps(films())
    evidence = evidence.detach().requires_grad_()
    feature = evidence.mean(dim=(2, 3))
    logits = model.head(feature + model.memory(feature))
    cells = evidence.shape[2] * evidence.shape[3]
    maps = []
    for k in range(len(CLASSES)):
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), evidence, retain_graph=True)
        weight = gradient.mean(dim=(2, 3), keepdim=True) * cells
        maps.append(torch.relu((weight * evidence).sum(dim=1)))
    expected = torch.stack(maps, dim=1).detach()
    assert expected.max() > 0.01  # far above the tolerance
    torch.testing.assert_close(model(films()).heat, expected, rtol=1e-4, atol=1e-5)


def test_the_decomposition_is_complete(model: Charm) -> None:
    """Mean of the signed map + gradient . memory + constant is the logit, to float precision."""
    with torch.no_grad():
        evidence, _ = model.maps(films())
        feature = evidence.mean(dim=(2, 3))
        memory = model.memory(feature)
        gradient = model.head.gradient(feature + memory)
        signed = torch.einsum("nkd,ndhw->nkhw", gradient, evidence)
        _, shift = affine(model.head.norm)
        active = (model.head.first(model.head.norm(feature + memory)) > 0).float()
        constant = (active * (model.head.first.bias + model.head.first.weight @ shift)) @ model.head.last.weight.T
        whole = signed.mean(dim=(2, 3)) + torch.einsum("nkd,nd->nk", gradient, memory) + constant + model.head.last.bias
    torch.testing.assert_close(whole, model(films()).logits, rtol=1e-4, atol=1e-5)


def test_other_weights_give_another_heat(model: Charm) -> None:
    """A map that stayed when the head is drawn anew would explain nothing."""
    other = copy.deepcopy(model)
    nn.init.normal_(other.head.last.weight)
    before, after = model(films()).heat, other(films()).heat
    assert float((before - after).abs().max()) > 0.1 * float(before.max())


def test_forward_changes_nothing(model: Charm) -> None:
    """Neither judging nor judging with film numbers touches a weight, a buffer or the memory."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(films())
    model(films(), torch.arange(3))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_momentum_copy_follows_by_the_stated_share(model: Charm) -> None:
    """New = keep * old + (1 - keep) * online, and keep grows to its end within the first epoch."""
    kept, online = nn.Linear(2, 2), nn.Linear(2, 2)
    expected = 0.75 * kept.weight.detach() + 0.25 * online.weight.detach()
    ema_update(kept, online, 0.75)
    torch.testing.assert_close(kept.weight.detach(), expected)

    own = copy.deepcopy(model)
    online_weight, kept_weight = (next(m.parameters()) for m in (own.backbone.final, own.momentum))
    nn.init.constant_(online_weight, 1.0)
    nn.init.constant_(kept_weight, 0.0)
    batch = Batch(films(), torch.zeros(3, 3), torch.ones(3, 3), torch.arange(3))
    output = own(batch.image)
    own.post_step(batch, output.embedding, epoch=0.5)
    assert pytest.approx(1 - 0.99 * 0.5, rel=1e-5) == float(kept_weight.detach().mean())


def test_only_known_rare_positives_enter_the_memory(model: Charm) -> None:
    """A label that may not be learnt from is not remembered either."""
    own = copy.deepcopy(model)
    before = own.memory.ids.clone()
    batch = Batch(films(1), torch.ones(1, 3), torch.zeros(1, 3), torch.tensor([42]))
    own.post_step(batch, own(batch.image).embedding, epoch=1.0)
    assert torch.equal(before, own.memory.ids)


def test_the_backbone_keeps_its_statistics_in_training(model: Charm) -> None:
    """Published norms come folded: batch statistics would make another network of them."""
    own = copy.deepcopy(model).train()
    before = {k: v.clone() for k, v in own.backbone.state_dict().items()}
    own(films())
    assert all(torch.equal(before[k], v) for k, v in own.backbone.state_dict().items())
    assert own.head.norm.training


@pytest.mark.parametrize(
    ("backbone", "channels", "cells"),
    [("efficientnet_b0", 1280, 2), ("resnet50", 2048, 2), ("densenet121", 1024, 2), ("vgg16", 512, 2)],
)
def test_every_published_backbone_is_parted_before_its_final_block(backbone: str, channels: int, cells: int) -> None:
    """Trunk and final block together are the network; the momentum branch is a copy of the block, and follows it."""
    options = {"backbone": backbone, "attention": "large_kernel", "hidden": 16, "slots": 8, "rare_prevalence": 0.02}
    made = build("charm", "full", Request(CLASSES, (0.01, 0.5, 0.01), (SIDE, SIDE), options), seed=1)
    assert isinstance(made, Charm)
    assert isinstance(made.backbone, SplitCnn)
    made.eval()
    image = films(2)
    whole = made.scale(image)
    for stage in made.backbone.stages.values():
        whole = stage(whole)
    output = made(image)
    assert (2, channels, cells, cells) == tuple(made.backbone(made.scale(image)).shape) == tuple(whole.shape)
    assert (2, 3, cells, cells) == tuple(output.heat.shape)
    assert torch.equal(output.embedding, made.pooled(image))  # the copy has not moved yet
    assert all(key.startswith("backbone.stages.") for key in made.state_dict() if key.startswith("backbone."))


def test_a_full_model_is_exported_as_it_answers() -> None:
    """The graph of a published backbone gives the logits and the heat of the model."""
    options = {"backbone": "efficientnet_b0", "hidden": 16, "slots": 8, "rare_prevalence": 0.02}
    made = build("charm", "full", Request(CLASSES, (0.01, 0.5, 0.01), (SIDE, SIDE), options), seed=1).eval()
    calibration = Calibration(slope=(1.0,) * 3, bias=(0.0,) * 3, threshold=(0.5,) * 3)
    opened = session(to_onnx(Calibrated(made.views()["model"], calibration).eval(), (SIDE, SIDE)))
    logits, _, heat = run(opened, films(3).numpy(), 3)
    expected = made(films(3))
    torch.testing.assert_close(torch.from_numpy(logits), expected.logits.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(heat), expected.heat.detach(), rtol=1e-3, atol=1e-4)
