"""Training images a second of the trainer's own step, against a bare torch loop on the same model and batch.

CPU time, in turns, medians: what other jobs of the machine do falls on both. The bare loop has its batch ready as
float tensors and neither augments, clips, averages nor follows; the trainer does all of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from cxrd_models.data.tasks import NIH14
from cxrd_models.recipe import Recipe
from cxrd_models.recipes import read_recipe
from cxrd_models.train.average import Average
from cxrd_models.train.job import Films, Job
from cxrd_models.train.state import Position
from cxrd_models.train.step import Stepper
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import ChestClassifier, Request
from cxrd_models.zoo.registry import build

ROUNDS = 5
RECIPE, PHASE = "charm", 1


def measure(folder: Path) -> Iterator[tuple[str, str]]:
    """The ratio, and the share of a step that goes into making its batch."""
    recipe = read_recipe(RECIPE)
    phase = recipe.phases[PHASE]
    films = _films(recipe.grid, phase.batch)
    job = Job(recipe, NIH14, _model(recipe), films, folder, Watch())
    stepper, average, position = Stepper(job, phase), Average(job.model, recipe.ema), Position(trained=1)
    job.model.train()

    def ours() -> None:
        stepper.step(position, films.train, of=1)
        average.update(job.model, 1)

    bare = _bare(_model(recipe), job, films)
    found: dict[str, list[float]] = {"ours": [], "bare": [], "batch": []}
    for _ in range(1 + ROUNDS):
        found["bare"].append(_seconds(bare))
        found["ours"].append(_seconds(ours))
        found["batch"].append(_seconds(lambda: stepper._batch(position, films.train, 0)))
    cost = {name: median(seconds[1:]) for name, seconds in found.items()}
    yield f"training, {RECIPE}: images/s against a bare torch loop", f"{cost['bare'] / cost['ours']:.2f}"
    yield "of a training step: making the batch", f"{cost['batch'] / cost['ours']:.0%}"


def _films(grid: tuple[int, int], batch: int) -> Films:
    random = np.random.default_rng(1)
    image = torch.from_numpy(random.integers(0, 256, (batch, 1, *grid)).astype(np.uint8))
    target = torch.from_numpy((random.random((batch, len(NIH14.classes))) < 0.1).astype(np.float32))
    rows = torch.arange(batch)
    return Films(image, target, torch.ones_like(target), np.array(["bench"] * batch), rows, rows)


def _model(recipe: Recipe) -> ChestClassifier:
    request = Request(NIH14.classes, (0.02,) * len(NIH14.classes), recipe.grid, recipe.model)
    made = build(recipe.architecture, recipe.size, request, seed=1)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch knows it, its stubs do not


def _bare(model: ChestClassifier, job: Job, films: Films) -> Callable[[], None]:
    """The same parameters learn, by the same rule."""
    optimiser = Stepper(job._replace(model=model), job.recipe.phases[PHASE]).optimiser
    image: Tensor = (films.image.float() / 255).contiguous(memory_format=torch.channels_last)
    model.train()

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        binary_cross_entropy_with_logits(model(image, None, films.train).logits, films.target).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()

    return step


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
