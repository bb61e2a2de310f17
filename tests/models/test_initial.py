"""Backbones start from what was asked for, or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from cxrd_models.errors import RecipeError, WeightsError
from cxrd_models.train.checkpoint import load, load_backbone
from cxrd_models.train.initial import Initial, from_chexnet, parse, published
from cxrd_models.zoo.contract import Request
from cxrd_models.zoo.registry import build


def test_the_words_of_the_command_line(tmp_path: Path) -> None:
    """And a file that is not there is named."""
    file = tmp_path / "model.pth.tar"
    file.write_bytes(b"x")
    assert parse("random") == Initial("random")
    assert parse("imagenet") == Initial("imagenet")
    assert parse(f"chexnet:{file}") == Initial("chexnet", file)
    assert parse(str(file)).name == "model.pth.tar"
    with pytest.raises(RecipeError, match="is no file"):
        parse("nowhere.pth")


def test_chexnets_own_layout_fills_a_densenet() -> None:
    """Every value arrives under its key; exactly the classifier is left out."""
    torch.manual_seed(0)
    model = build(
        "cnn_transformer", "full", Request(("pneumonia",), (0.5,), (64, 64), {"width": 32, "heads": 4}), seed=0
    )
    backbone = {k.removeprefix("backbone."): v for k, v in model.state_dict().items() if k.startswith("backbone.")}
    theirs = {}
    for key, value in backbone.items():
        told = re.sub(r"(denselayer\d+)\.(norm|conv)([12])\.", r"\1.\2.\3.", key)
        theirs[f"module.densenet121.features.{told}"] = torch.rand_like(value.float()).to(value.dtype)
    theirs["module.densenet121.classifier.0.weight"] = torch.zeros(14, 1024)
    load_backbone(model, from_chexnet({"state_dict": theirs, "epoch": 1}, "model.pth.tar"), "model.pth.tar")
    after = model.state_dict()
    for key, value in zip(backbone, list(theirs.values())[: len(backbone)], strict=True):
        torch.testing.assert_close(after[f"backbone.{key}"], value)
    with pytest.raises(WeightsError, match="no densenet121"):
        from_chexnet({"state_dict": {}}, "other.tar")


def test_what_cannot_be_fetched_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never silently random."""

    def away(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", away)
    with pytest.raises(WeightsError, match="--init PATH"):
        published(Initial("imagenet"), torch.device("cpu"))


class Foreign:
    """What a training program may have put beside its weights."""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89PNG no weights", "holds no weights, or more than weights"),
        ({"model": torch.zeros(1), "settings": Foreign()}, "holds no weights, or more than weights"),
        ([torch.zeros(1)], "holds a list, not weights by name"),
    ],
    ids=["picture", "objects", "list"],
)
def test_a_file_that_holds_no_weights_says_so_and_runs_nothing(tmp_path: Path, content: object, told: str) -> None:
    """In two lines, and without torch's advice to load it unsafely."""
    path = tmp_path / "model.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=told) as refused:
        load(path, torch.device("cpu"))
    assert "weights_only" not in str(refused.value)
    assert "state_dict" in refused.value.hint
