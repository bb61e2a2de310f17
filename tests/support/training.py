"""A tiny recipe and what a person does while it trains, for the tests of the trainer."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from cxrd_models.recipe import Recipe
from cxrd_models.train.initial import Initial
from cxrd_models.train.prepare import Start
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import Batch, ChestClassifier, Output

PHASES: list[dict[str, Any]] = [
    {"name": "head", "epochs": 1, "batch": 4, "rates": {"head.*": 1e-3, "attention.*": 1e-3}},
    {
        "name": "finetune",
        "epochs": 2,
        "batch": 4,
        "loss": "asymmetric",
        "schedule": "onecycle",
        "rates": {"head.*": 1e-3, "backbone.features.1[78].*": 1e-4},
    },
]


def recipe(**changes: Any) -> Recipe:
    """Return a run of nine steps on 64-pixel films."""
    values: dict[str, Any] = {
        "id": "tiny",
        "version": "1.0.0",
        "title": "a test",
        "architecture": "charm",
        "size": "small",
        "task": "nih14",
        "seed": 5,
        "ema": 0.5,
        "data_licence": "made for this test",
        "preprocess": {"id": "plain", "height": 64, "width": 64},
        "model": {"reduction": 128, "hidden": 16, "slots": 28, "rare_prevalence": 0.5},
        "augment": {"rotation": 5, "shift": 0.1, "contrast": 0.1, "blur": 0.5, "blur_sizes": [16, 32]},
        "report": {"min_train": 1, "min_val": 1, "min_test": 1},
        "use": {"text": "tests", "views": ["PA"]},
        "phases": PHASES,
    }
    return Recipe.model_validate({**values, **changes})


STILL: dict[str, Any] = {"augment": {}, "ema": 0}
"""A recipe that draws no chance but its order."""


class StoppingAfter(Watch):
    """A watch whose person presses Ctrl-C after so many steps."""

    def __init__(self, log: Path, steps: int) -> None:
        self.left = steps
        super().__init__(log, Console(file=StringIO()))

    @property
    def stopping(self) -> bool:
        """Asked before each step."""
        self.left -= 1
        return self.left < 0

    @stopping.setter
    def stopping(self, value: bool) -> None:
        """Leave it to the count."""


def quiet(out: Path) -> Watch:
    return Watch(out / "log.jsonl", Console(file=StringIO()))


def told(watch: Watch) -> str:
    """What a `quiet` watch has said."""
    file = watch.console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def start(data: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> Start:
    out.mkdir(parents=True, exist_ok=True)
    return Start(data, out, Initial("file", init) if init else Initial("random"), resume, "tiny")


def weights(out: Path) -> dict[str, torch.Tensor]:
    best: dict[str, torch.Tensor] = torch.load(out / "best.pt", weights_only=True)["model"]
    return best


class Tiny(ChestClassifier):
    """A classifier small enough to be trained many times: two convolutions, their mean, a head.

    It keeps the embeddings of the films that it was told of after each step, as a memory does.
    """

    published = ()
    head: nn.Module
    seen: torch.Tensor

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = nn.Sequential(nn.Conv2d(1, 16, 5, stride=4), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2))
        self.head = nn.Linear(16, len(classes))
        self.register_buffer("seen", torch.zeros(16))

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None, ids: torch.Tensor | None = None) -> Output:
        """Judge films; each map is a channel of the last convolution."""
        maps = self.backbone(image)
        pooled = torch.relu(maps).mean(dim=(2, 3))
        return Output(self.head(pooled), torch.relu(maps[:, :1]), pooled)

    def post_step(self, batch: Batch, embedding: torch.Tensor, epoch: float) -> None:
        """Add up what was seen, in the order of the films."""
        assert len(batch.ids) == len(embedding) == len(batch.target)
        self.seen += embedding[batch.ids.argsort()].sum(dim=0)


class Normed(Tiny):
    """`Tiny` with a batch norm before its head that learns."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(classes)
        self.head = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, len(classes)))


class Astray(Normed):
    """`Normed` that begins with other weights in each process."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(classes)
        with torch.no_grad():
            next(self.parameters()).add_(0.1 * int(os.environ.get("RANK", "0")))


class Steep(Tiny):
    """`Tiny` whose loss is a number and whose gradient is none: the root of nothing."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None, ids: torch.Tensor | None = None) -> Output:
        """Judge films."""
        found = super().forward(image, mask, ids)
        return found._replace(logits=found.logits + torch.sqrt(found.logits.sum() * 0))


def tiny_recipe(**changes: Any) -> Recipe:
    """Return a run of six steps of `Tiny`, which the fixture ``tiny`` makes known."""
    phase = {"name": "all", "epochs": 2, "batch": 4, "rates": {"*": 1e-2}}
    return recipe(**{"architecture": "tiny", "model": {}, "phases": [phase], **changes})
