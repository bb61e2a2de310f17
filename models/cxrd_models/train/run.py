"""A training run: from a recipe and a folder of films to calibrated weights and a record."""

from __future__ import annotations

import json
import platform
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import cxrd
from cxrd_models.data.manifest import Manifest
from cxrd_models.data.shortcut import probe
from cxrd_models.errors import RecipeError, WeightsError
from cxrd_models.evaluate.baseline import frozen_baseline, pooled_features
from cxrd_models.recipe import Recipe
from cxrd_models.train.board import TensorBoard
from cxrd_models.train.calibrating import calibrate_model, graph_logits
from cxrd_models.train.curves import draw_curves
from cxrd_models.train.job import LAST, Job
from cxrd_models.train.loop import fit, load_best
from cxrd_models.train.prepare import Start, prepare
from cxrd_models.train.ranks import joined
from cxrd_models.train.watch import Watch
from cxrd_models.writing import write_atomically, writing

RECORD, CALIBRATION, BASELINE, BOARD = "run.json", "calibration.json", "baseline.npz", "tensorboard"
_SHOWN = 8
"""Validation films that TensorBoard shows."""


def train(recipe: Recipe, start: Start, watch: Watch) -> bool:
    """Train a recipe; leaves checkpoints, calibration and the record in ``start.out``.

    Returns
    -------
    bool
        Whether this process wrote them: of several, one does, and the others end before it.

    Raises
    ------
    CxrdError
        See `cxrd_models.errors`; every one names what to do next.
    """
    with joined() as ranks:
        if not ranks.leader:
            watch = Watch(console=Console(quiet=True))
        _look_at_folder(start)
        job, manifest = prepare(recipe, start, watch, ranks)
        record = _record(recipe, start, manifest, job)
        if start.resume:
            record |= _begun_as(start, record)
        elif ranks.leader and start.init.kind != "random":
            _keep_baseline(job, manifest)
        if ranks.leader:
            _write(start.out / RECORD, record)
            job = _with_board(job) if start.tensorboard else job
        try:
            with watch.stoppable():
                fit(job, resume=start.resume)
        finally:
            job.board.close()
        if ranks.leader:
            load_best(job)
            _calibrate(job)
            draw_curves(start.out)
            watch.say(f"trained; next: cxrd export {start.out} --out DIR")
        return ranks.leader


def _with_board(job: Job) -> Job:
    films = job.films
    some = films.val[:_SHOWN]
    board = TensorBoard(job.out / BOARD, films.image[some], None if films.mask is None else films.mask[some])
    return job._replace(board=board)


def recipe_digest(recipe: Recipe) -> str:
    """sha256 (hex) of a recipe's values."""
    return sha256(recipe.model_dump_json().encode()).hexdigest()


def _record(recipe: Recipe, start: Start, manifest: Manifest, job: Job) -> dict[str, Any]:
    init = None if start.init.kind == "random" else {"file": start.init.name, "sha256": start.init.digest}
    return {
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe_digest(recipe),
        "task": manifest.task.model_dump(mode="json"),
        "command": _command(start),
        "data": str(start.data),
        "data_sha256": manifest.digest,
        "init": init,
        "parameters": sum(p.numel() for _, p in job.model.named_parameters()),
        "shortcuts": [s.model_dump() for s in probe(manifest)],
        "versions": {
            "cxrd": cxrd.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _command(start: Start) -> str:
    """Return the line that repeats the run, by file names only: a package must not tell a user's paths."""
    told = f"cxrd train {Path(start.recipe).name} --data {start.data.name} --out {start.out.name}"
    given = "".join(f" --set {shlex.quote(change)}" for change in start.changes)
    return told + given if start.init.kind == "random" else f"{told} --init {start.init.name}{given}"


def _look_at_folder(start: Start) -> None:
    """Make the folder; never train over another run.

    Raises
    ------
    RecipeError
        The folder holds a run already (without ``--resume``).
    WeightsError
        Nothing to resume.
    """
    start.out.mkdir(parents=True, exist_ok=True)
    last = (start.out / LAST).exists()
    if not start.resume and (last or (start.out / CALIBRATION).exists()):  # else it died in its first epoch
        raise RecipeError(f"{start.out} holds a run already", hint="--resume goes on with it; or choose another --out")
    if start.resume and not ((start.out / RECORD).exists() and last):
        raise WeightsError(f"{start.out} holds no checkpoint to resume from", hint="start without --resume")


def _begun_as(start: Start, record: dict[str, Any]) -> dict[str, Any]:
    """What a resumed run keeps of its own record.

    Raises
    ------
    RecipeError
        It was begun with another recipe or other data.
    """
    then = json.loads((start.out / RECORD).read_text("utf-8"))
    for key in ("recipe_sha256", "data_sha256"):
        if then[key] != record[key]:
            what = key.removesuffix("_sha256")
            raise RecipeError(f"{start.out} was begun with another {what}", hint=f"it was begun by: {then['command']}")
    return {key: then[key] for key in ("init", "command")}


def _keep_baseline(job: Job, manifest: Manifest) -> None:
    job.watch.say("frozen-feature baseline ...")
    job.model.eval()
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
    target, known = films.target[rows].cpu().numpy(), films.known[rows].cpu().numpy()
    logits = graph_logits(job.model, films.image, rows, films.mask)
    found = calibrate_model(job.model, logits, target, known, exclusive=job.exclusive)
    _write(job.out / CALIBRATION, found.model_dump())


def _write(path: Path, content: dict[str, Any]) -> None:
    with writing(path):
        write_atomically(path, json.dumps(content, indent=1) + "\n")
