"""The head's start as a regression on the published features: what it answers, and that nothing worse is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrd_models.errors import RecipeError
from cxrd_models.recipe import ProbeRecipe
from cxrd_models.train import probe
from cxrd_models.train.job import Job
from cxrd_models.train.prepare import prepare
from cxrd_models.train.run import train
from cxrd_models.zoo.charm import Charm
from cxrd_models.zoo.contract import ChestClassifier, Regression, Request
from cxrd_models.zoo.registry import build
from support.training import quiet, recipe, start, weights

CLASSES = ("one", "two", "three")
OPTIONS: dict[str, dict[str, Any]] = {
    "charm": {"reduction": 128, "hidden": 40, "slots": 4, "blocks": (12, 18), "levels": (1, 2)},
    "deit_scm": {"width": 24, "depth": 1, "blocks": (12, 18), "levels": (1, 2)},
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


FEW: dict[str, dict[str, Any]] = {
    "charm": {"reduction": 128, "hidden": 64, "slots": 0, "blocks": (12, 18), "levels": (1, 2)},
    "deit_scm": {"width": 8, "depth": 1, "heads": 2, "blocks": (12, 18), "levels": (1, 2)},
}


def begun(folder: Path, out: Path, asked: ProbeRecipe, architecture: str = "deit_scm") -> Job:
    """A job whose model has begun so."""
    wanted = recipe(architecture=architecture, model=FEW[architecture])
    made, _ = prepare(wanted, start(folder, out), quiet(out))
    probe.begin(made, asked)
    return made


@torch.inference_mode()
def test_a_begun_head_learns_from_what_it_judges_by(folder: Path, tmp_path: Path) -> None:
    """A norm that learns takes a batch's own statistics: with others than the films' the first step would shout."""
    made = begun(folder, tmp_path, ProbeRecipe(copies=0), "charm")
    assert isinstance(made.model, Charm)
    image = made.films.image[made.films.train].float() / 255
    seen = made.model.maps(image)[0].mean(dim=(2, 3))
    judging = made.model.head(seen)
    made.model.head.norm.train()
    torch.testing.assert_close(made.model.head(seen), judging, rtol=0.05, atol=0.05)


def columns(made: Job, image: torch.Tensor) -> torch.Tensor:
    """[N, D] mean of what reaches the embedding."""
    heard: list[torch.Tensor] = []
    with made.model.vit.embed.register_forward_pre_hook(lambda _, given: heard.append(given[0].mean(dim=1))):  # type: ignore[union-attr]  # torch types a submodule as Tensor or Module
        made.model(image)
    return heard[0].double()


@torch.inference_mode()
def test_tokens_begin_as_principal_components_of_the_columns(folder: Path, tmp_path: Path) -> None:
    """They keep as much of the films as eight coordinates can, where every part weighs alike; no coordinate is weak."""
    made = begun(folder, tmp_path, ProbeRecipe(copies=0))
    seen = columns(made, made.films.image[made.films.train].float() / 255)
    embed = made.model.get_submodule("vit.embed")
    assert isinstance(embed, torch.nn.Linear)
    assert made.model.columns == (96, 1280, 96, 1280)
    std = seen.std(dim=0, correction=0).clamp(min=1e-6)
    even = torch.cat([torch.full((width,), (4 * width) ** -0.5) for width in made.model.columns])
    alike = (seen - seen.mean(dim=0)) / std * even
    kept = (seen @ embed.weight.double().T + embed.bias).square().sum() / 8
    strongest = torch.linalg.svdvals(alike)[:8].square().sum()
    assert float(kept) == pytest.approx(float(strongest), rel=1e-3)
    assert float(kept) > 0.2 * float(alike.square().sum())
    strengths = (seen @ embed.weight.double().T + embed.bias).square().sum(dim=0)
    assert float(strengths.max() / strengths.min()) < 30  # of the components themselves the quotient is far larger


@torch.inference_mode()
def test_a_mirrored_start_answers_films_and_their_mirrors(folder: Path, tmp_path: Path) -> None:
    """It has learnt from both; without, it has not seen the mirrors, and fits them less."""
    fits = {}
    for mirrored in (False, True):
        made = begun(folder, tmp_path / str(mirrored), ProbeRecipe(copies=0, strength=100.0, mirrored=mirrored))
        mirrors = made.films.image[made.films.train].float().flip(-1) / 255
        target = made.films.target[made.films.train]
        fits[mirrored] = float(torch.nn.functional.cross_entropy(made.model(mirrors).logits, target))
    assert fits[True] < fits[False]
