"""Makes a job of a recipe and a folder: films read, model built, weights filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cxrd_models.data.films import load_films
from cxrd_models.data.lungs import load_lungs
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.own import asked
from cxrd_models.data.tasks import Task
from cxrd_models.errors import DataError, RecipeError
from cxrd_models.recipe import Recipe
from cxrd_models.train.allocator import keep_freed_memory
from cxrd_models.train.checkpoint import load_backbone
from cxrd_models.train.initial import Initial, published
from cxrd_models.train.job import Films, Job
from cxrd_models.train.ranks import ALONE, Ranks, device_of
from cxrd_models.train.validate import areas
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import ChestClassifier, Request
from cxrd_models.zoo.registry import build


class Start(NamedTuple):
    """What a person chose on the command line.

    Attributes
    ----------
    recipe : str
        Name or path of the recipe, for the record.
    init : Initial
        Where the backbone's weights come from.
    cache : Path or None
        Folder that keeps decoded films for later runs; None decodes them into memory.
    tensorboard : bool
        Write event files below ``out``.
    changes : tuple of str
        What was changed of the recipe, for the record.
    """

    data: Path
    out: Path
    init: Initial
    resume: bool
    recipe: str
    cache: Path | None = None
    tensorboard: bool = False
    changes: tuple[str, ...] = ()


def prepare(recipe: Recipe, start: Start, watch: Watch, ranks: Ranks = ALONE) -> tuple[Job, Manifest]:
    """Read the films and build the model, with its weights from ``start.init`` unless the run is resumed.

    Raises
    ------
    CxrdError
        See `cxrd_models.errors`; every one names what to do next.
    """
    keep_freed_memory()
    manifest = read_manifest(start.data, asked(recipe.task, start.data))
    _refuse_unfit(recipe, manifest.task)
    _refuse_blind(recipe, manifest)
    model = new_model(recipe, manifest, pretrained=start.init.kind == "imagenet" and not start.resume)
    _refuse_idle(recipe, model)
    _refuse_unlike(recipe, model, manifest.task)
    device = device_of(ranks)
    torch.use_deterministic_algorithms(mode=True, warn_only=device.type == "cuda")
    if not start.resume:
        _fill(model, recipe, start, watch)
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, recipe.preprocess, bar.advance, start.cache)
    lungs = None
    if model.takes_mask or any(phase.lambda_seg or phase.lambda_attention for phase in recipe.phases):
        with watch.bar("finding lungs", len(manifest.films)) as bar:
            drawn = not model.takes_mask
            lungs = load_lungs(manifest, recipe.preprocess, bar.advance, start.cache, drawn=drawn)
    films = films_on(device, manifest, recipe, pixels, lungs)
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001 - torch's only door
        slow = ", ".join(phase.name for phase in recipe.phases if phase.precision != "fp32")
        if slow:
            watch.say(f"half precision ({slow}) is emulated on this processor, many times slower than fp32")
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch knows it, its stubs do not
    return Job(recipe, manifest.task, model, films, start.out, watch, ranks), manifest


def _refuse_unfit(recipe: Recipe, task: Task) -> None:
    """A softmax over one class is always sure, and would learn nothing without a word."""
    for phase in recipe.phases:
        if phase.loss == "ce" and not task.exclusive:
            told = f"phase {phase.name}: loss ce is for classes that exclude each other, task {task.id} has none"
            raise RecipeError(told, hint='loss = "bce" takes each class for itself')


def _refuse_idle(recipe: Recipe, model: ChestClassifier) -> None:
    """A setting that this model or this task does nothing with would be believed to have done something."""
    for phase in recipe.phases:
        for name, share in (("seg", phase.lambda_seg), ("attention", phase.lambda_attention)):
            if share and name not in model.taught:
                told = f"phase {phase.name}: lungs teach {recipe.architecture} no {name}"
                raise RecipeError(told, hint=f"leave out lambda_{name}, or take hybrid_lung_vit")
        if phase.class_weights != "none" and len(model.classes) == 1:
            told = f"phase {phase.name}: class_weights compare classes, and {model.classes[0]} is the only one"
            raise RecipeError(told, hint='sampler = "balanced" shows films with and without it alike')
        if isinstance(phase.class_weights, dict) and set(phase.class_weights) != set(model.classes):
            told = f"phase {phase.name}: class_weights are of {', '.join(phase.class_weights)}"
            raise RecipeError(told, hint=f"one for each of {', '.join(model.classes)}")


def _refuse_unlike(recipe: Recipe, model: ChestClassifier, task: Task) -> None:
    """An ensemble blends shares of one whole, and a grid of cells must fit the film."""
    if model.ensemble and not task.exclusive:
        told = f"{recipe.architecture} is for classes that exclude each other, task {task.id} has none"
        raise RecipeError(told, hint="the other architectures judge each class for itself")
    film = torch.zeros(1, 1, *recipe.grid)
    try:
        with torch.inference_mode():
            model.eval()(film, film)
    except RuntimeError as fault:
        told = f"{recipe.architecture} cannot judge films of {recipe.grid[0]} x {recipe.grid[1]} pixels: {fault}"
        raise RecipeError(told, hint="preprocess.height and width: multiples of 32, 224 say") from fault


def _refuse_blind(recipe: Recipe, manifest: Manifest) -> None:
    """A mean over no class is the same for every epoch: the first one would be kept, whatever came after."""
    if recipe.monitor not in ("mean", "weighted"):
        return
    rows, targets = manifest.rows_of("val"), manifest.targets()
    known = manifest.known(recipe.guard.min_source_positives)[rows] > 0
    perfect = areas(recipe, manifest.task.classes, targets[rows], targets[rows], known, manifest.sources()[rows])
    if not perfect[0]:
        least = max(recipe.report.min_val, 1)
        raise DataError(
            f"no epoch can be told from another: no class has {least} positive validation films (report.min_val) and, "
            "of the same source, a negative one",
            hint='divide or label more films for val; or lower report.min_val; or monitor = "loss"',
        )


def _fill(model: ChestClassifier, recipe: Recipe, start: Start, watch: Watch) -> None:
    """Fill the backbone as asked, and say so."""
    if start.init.kind == "random":
        watch.say("random weights: --init imagenet, or --init PATH, starts from published ones")
    elif start.init.kind != "imagenet" or recipe.size == "small":  # the full sizes fetch theirs when they are built
        told = load_backbone(model, published(start.init, torch.device("cpu")), start.init.name)
        watch.say(f"{start.init.name}: {told}")


def new_model(recipe: Recipe, manifest: Manifest, *, pretrained: bool = False) -> ChestClassifier:
    """Return the recipe's model, freshly initialised from its seed and the training prevalence."""
    share = manifest.targets()[manifest.rows_of("train")].mean(axis=0)
    prevalence = tuple(float(p) for p in share)
    wanted = Request(manifest.task.classes, prevalence, recipe.grid, recipe.model, pretrained)
    return build(recipe.architecture, recipe.size, wanted, seed=recipe.seed)


def films_on(
    device: torch.device,
    manifest: Manifest,
    recipe: Recipe,
    pixels: NDArray[np.uint8],
    lungs: NDArray[np.uint8] | None = None,
) -> Films:
    """Films, lungs, labels and splits of a manifest as tensors on a device."""

    def on_device(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    return Films(
        image=on_device(pixels),
        target=on_device(manifest.targets()),
        known=on_device(manifest.known(recipe.guard.min_source_positives)),
        source=manifest.sources(),
        train=on_device(manifest.rows_of("train")),
        val=on_device(manifest.rows_of("val")),
        mask=None if lungs is None else on_device(lungs),
    )
