"""The head's start as a regression on the published features: what it answers, and that nothing worse is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrd_models.errors import RecipeError
from cxrd_models.train.run import train
from cxrd_models.zoo.contract import ChestClassifier, Regression, Request
from cxrd_models.zoo.registry import build
from support.training import quiet, recipe, start, weights

CLASSES = ("one", "two", "three")
OPTIONS: dict[str, dict[str, Any]] = {
    "charm": {"reduction": 128, "hidden": 40, "slots": 4},
    "deit_scm": {"width": 24, "depth": 1},
}
STILL: dict[str, Any] = {"name": "still", "epochs": 1, "batch": 4, "rates": {"head.*": 1e-12}}


def small(architecture: str) -> ChestClassifier:
    """A model on 64-pixel films, in eval mode."""
    return build(architecture, "small", Request(CLASSES, (0.5,) * 3, (64, 64), OPTIONS[architecture]), seed=1).eval()


@pytest.mark.parametrize("architecture", OPTIONS)
def test_a_head_answers_as_the_regression_it_begins_with(architecture: str) -> None:
    """Exactly, of whatever reaches the head; a head of many layers has its nonlinear part to spare."""
    model = small(architecture)
    heard: list[torch.Tensor] = []
    model.head.register_forward_pre_hook(lambda _, given: heard.append(given[0]))  # type: ignore[union-attr]  # torch types a submodule as Tensor or Module
    image = torch.rand(5, 1, 64, 64)
    with torch.inference_mode():
        model(image)
        wide = heard[0].shape[1]
        random = torch.Generator().manual_seed(2)
        weight, bias = torch.randn(3, wide, generator=random), torch.tensor([0.5, -1.0, 2.0])
        found = Regression(heard[0].mean(dim=0), heard[0].std(dim=0) + 0.1, weight, bias)
        model.begin_head(found)
        expected = (heard[0] - found.mean) / found.std @ weight.T + bias
        torch.testing.assert_close(model(image).logits, expected, rtol=1e-3, atol=1e-3)


def test_a_head_that_cannot_begin_so_says_it() -> None:
    """An architecture without such a start, and a head with too few units."""
    with pytest.raises(RecipeError, match=r"leave out \[probe\]|cannot begin"):
        ChestClassifier().begin_head(Regression(*[torch.zeros(1)] * 4))
    narrow = build("charm", "small", Request(CLASSES, (0.5,) * 3, (64, 64), {"hidden": 4}), seed=1)
    with pytest.raises(RecipeError, match="4 units cannot begin"):
        narrow.begin_head(Regression(*[torch.zeros(1)] * 4))


def test_a_run_is_never_worse_on_validation_than_its_start(folder: Path, tmp_path: Path) -> None:
    """The start is judged and kept; a phase that spoils it is thrown away."""
    spoiling = {"name": "spoil", "epochs": 1, "batch": 4, "rates": {"head.*": 1.0}, "schedule": "constant"}
    kept = {}
    for name, phase in (("still", STILL), ("spoil", spoiling)):
        out = tmp_path / name
        wide = {"reduction": 128, "hidden": 64, "slots": 28, "rare_prevalence": 0.5}
        begun = {"strength": 1.0, "copies": 1}
        asked = recipe(model=wide, ema=0, probe=begun, phases=[phase], monitor="loss")
        train(asked, start(folder, out), quiet(out))
        events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        assert ["probe", "epoch"] == [e["event"] for e in events]
        kept[name] = (events, weights(out))
    events, spoilt = kept["spoil"]
    assert events[1]["val_loss"] > events[0]["val_loss"]
    first = kept["still"][1]
    assert all(torch.allclose(first[k], v, atol=1e-4) for k, v in spoilt.items() if k.startswith("head.last"))
