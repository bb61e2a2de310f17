"""A training run: from a recipe and a folder of films to calibrated weights and a record."""

from __future__ import annotations

import json
import platform
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import cxrd
from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.shortcut import probe
from cxrd_models.data.tasks import task_of
from cxrd_models.errors import RecipeError, WeightsError
from cxrd_models.evaluate.baseline import frozen_baseline, pooled_features
from cxrd_models.evaluate.calibration import calibrate
from cxrd_models.recipe import Recipe
from cxrd_models.train.allocator import keep_freed_memory
from cxrd_models.train.checkpoint import load_backbone
from cxrd_models.train.loop import BEST, LAST, Films, Job, fit, load_best, predict
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import ChestClassifier
from cxrd_models.zoo.registry import build

RECORD, CALIBRATION, BASELINE = "run.json", "calibration.json", "baseline.npz"


class Start(NamedTuple):
    """What a person chose on the command line.

    Attributes
    ----------
    recipe : str
        Name or path of the recipe, for the record.
    init : Path or None
        Published backbone weights.
    """

    data: Path
    out: Path
    init: Path | None
    resume: bool
    recipe: str


def train(recipe: Recipe, start: Start, watch: Watch) -> None:
    """Train a recipe; leaves checkpoints, calibration and the record in ``start.out``.

    Raises
    ------
    CxrdError
        See `cxrd_models.errors`; every one names what to do next.
    """
    keep_freed_memory()
    manifest = read_manifest(start.data, task_of(recipe.task))
    model = new_model(recipe, manifest)
    record = _record(recipe, start, manifest, model)
    _open_folder(start, record)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.use_deterministic_algorithms(mode=True, warn_only=device.type == "cuda")
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, recipe.preprocess, bar.advance)
    job = Job(recipe, model, films_on(device, pixels, manifest, recipe), start.out, watch)
    job.module.to(device)
    if start.init is not None and not start.resume:
        watch.say(f"{start.init.name}: {load_backbone(model, start.init, device)}")
        _keep_baseline(job, manifest)
    _write(start.out / RECORD, record)
    with watch.stoppable():
        fit(job, resume=start.resume)
    load_best(job)
    _calibrate(job)
    watch.say(f"trained; next: cxrd export {start.out} --out DIR")


def new_model(recipe: Recipe, manifest: Manifest) -> ChestClassifier:
    """Return the recipe's model, freshly initialised from its seed and the training prevalence."""
    share = manifest.targets()[manifest.rows_of("train")].mean(axis=0)
    prevalence = tuple(float(p) for p in share)
    return build(
        recipe.architecture,
        recipe.size,
        manifest.task.classes,
        prevalence,
        options=recipe.model,
        seed=recipe.seed,
    )


def films_on(device: torch.device, pixels: NDArray[np.uint8], manifest: Manifest, recipe: Recipe) -> Films:
    """Films, labels and splits of a manifest as tensors on a device."""

    def on_device(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    return Films(
        image=on_device(pixels),
        target=on_device(manifest.targets()),
        known=on_device(manifest.known(recipe.guard.min_source_positives)),
        source=manifest.sources(),
        train=on_device(manifest.rows_of("train")),
        val=on_device(manifest.rows_of("val")),
    )


def recipe_digest(recipe: Recipe) -> str:
    """sha256 (hex) of a recipe's values."""
    return sha256(recipe.model_dump_json().encode()).hexdigest()


def _record(recipe: Recipe, start: Start, manifest: Manifest, model: ChestClassifier) -> dict[str, Any]:
    init = {"file": start.init.name, "sha256": sha256(start.init.read_bytes()).hexdigest()} if start.init else None
    return {
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe_digest(recipe),
        "command": _command(start),
        "data": str(start.data),
        "data_sha256": manifest.digest,
        "init": init,
        "parameters": sum(p.numel() for _, p in model.named_parameters()),
        "shortcuts": [s.model_dump() for s in probe(manifest)],
        "versions": {
            "cxrd": cxrd.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _command(start: Start) -> str:
    """Return the line that repeats the run, by file names only: a package must not tell a user's paths."""
    init = f" --init {start.init.name}" if start.init else ""
    return f"cxrd train {Path(start.recipe).name} --data {start.data.name} --out {start.out.name}{init}"


def _open_folder(start: Start, record: dict[str, Any]) -> None:
    """Make the folder; never train over another run.

    Raises
    ------
    RecipeError
        The folder holds a run already (without ``--resume``), or one of other recipe or data.
    WeightsError
        Nothing to resume.
    """
    start.out.mkdir(parents=True, exist_ok=True)
    before = start.out / RECORD
    if not start.resume:
        if (start.out / LAST).exists() or (start.out / BEST).exists():
            raise RecipeError(
                f"{start.out} holds a run already", hint="--resume goes on with it; or choose another --out"
            )
        return
    if not before.exists() or not (start.out / LAST).exists():
        raise WeightsError(f"{start.out} holds no checkpoint to resume from", hint="start without --resume")
    then = json.loads(before.read_text("utf-8"))
    for key in ("recipe_sha256", "data_sha256"):
        if then[key] != record[key]:
            what = key.removesuffix("_sha256")
            raise RecipeError(f"{start.out} was begun with another {what}", hint="resume with what it was begun with")
    record["init"], record["command"] = then["init"], then["command"]


def _keep_baseline(job: Job, manifest: Manifest) -> None:
    job.watch.say("frozen-feature baseline ...")
    job.module.eval()
    features = pooled_features(job.model, job.films.image)
    baseline = frozen_baseline(
        features,
        manifest.targets(),
        manifest.rows_of("train"),
        manifest.rows_of("val"),
        job.recipe.report.min_val,
    )
    np.savez(job.out / BASELINE, scores=baseline.scores, strength=baseline.strength)


def _calibrate(job: Job) -> None:
    films, rows = job.films, job.films.val
    logits = predict(job.module, films.image, rows)
    found = calibrate(logits, films.target[rows].cpu().numpy(), films.known[rows].cpu().numpy())
    _write(job.out / CALIBRATION, found.model_dump())


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
