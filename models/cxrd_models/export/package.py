"""From a finished run to ``<out>/<id>/<version>/``: graph, manifest, card, evaluation, or nothing."""

from __future__ import annotations

import copy
import json
import shutil
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

import cxrd
from cxrd.inference.manifest import GRAPH, MANIFEST
from cxrd_models.data.augment import coarser
from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.tasks import task_of
from cxrd_models.errors import DataError, RecipeError, WeightsError
from cxrd_models.evaluate.calibration import Calibration
from cxrd_models.evaluate.figures import figures
from cxrd_models.evaluate.package import predictions, score
from cxrd_models.export.card import card
from cxrd_models.export.graph import OPSET, Calibrated, describe, round_to_half, store_half, to_onnx
from cxrd_models.export.judged import Judged
from cxrd_models.export.manifest import Origin, manifest_of
from cxrd_models.export.parity import Parity, check_parity, run, session
from cxrd_models.export.reporting import standings
from cxrd_models.recipe import Recipe
from cxrd_models.train.checkpoint import load, restore
from cxrd_models.train.loop import BEST
from cxrd_models.train.run import BASELINE, CALIBRATION, RECORD, new_model
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import ChestClassifier

_PARITY_FILMS = 32
_BATCH = 16


class Finished(NamedTuple):
    """What a training run left behind."""

    recipe: Recipe
    record: dict[str, Any]
    manifest: Manifest
    model: ChestClassifier
    calibration: Calibration
    baseline: NDArray[np.float64] | None


def export_run(run_folder: Path, out: Path, data: Path | None, watch: Watch) -> Path:
    """Export, check and judge a run; returns the package folder.

    Parameters
    ----------
    run_folder : Path
        Output of ``cxrd train``.
    out : Path
        Folder of packages; the package is ``out/<id>/<version>``.
    data : Path or None
        Where the run's films lie now; None uses the folder they were trained from.

    Raises
    ------
    CxrdError
        The run is not finished, the data changed, the graph is not at parity, or the package exists.
    """
    finished = read_run(run_folder, data)
    recipe, manifest = finished.recipe, finished.manifest
    target = out / recipe.id / recipe.version
    if target.exists():
        raise RecipeError(f"{target} exists", hint="a published version never changes: raise `version` in the recipe")
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, recipe.preprocess, bar.advance)
    watch.say("tracing ...")
    data_of_graph, judged = _export(finished, pixels)
    _write_package(target, finished, data_of_graph, judged)
    macro = judged.found.macro
    watch.say(f"{target}: {len(data_of_graph) / 1e6:.1f} MB, test AUROC {macro.value} ({macro.low} to {macro.high})")
    return target


def read_run(folder: Path, data: Path | None) -> Finished:
    """Read what a finished run left.

    Raises
    ------
    WeightsError
        The run is not finished.
    DataError
        The films are not those of the run.
    """
    if not (folder / CALIBRATION).exists():
        raise WeightsError(f"{folder} holds no finished run", hint="cxrd train ... --resume")
    record = json.loads((folder / RECORD).read_text("utf-8"))
    recipe = Recipe.model_validate(record["recipe"])
    manifest = read_manifest(data or Path(record["data"]), task_of(recipe.task))
    if manifest.digest != record["data_sha256"]:
        raise DataError(f"{manifest.folder} is not the data that {folder} was trained on")
    model = new_model(recipe, manifest)
    restore(_module(model), load(folder / BEST, torch.device("cpu"))["model"], str(folder / BEST))
    baseline = folder / BASELINE
    return Finished(
        recipe,
        record,
        manifest,
        model,
        Calibration.model_validate_json((folder / CALIBRATION).read_text("utf-8")),
        np.load(baseline)["scores"] if baseline.exists() else None,
    )


def _export(finished: Finished, pixels: NDArray[np.uint8]) -> tuple[bytes, Judged]:
    recipe, manifest = finished.recipe, finished.manifest
    trained = Calibrated(finished.model.export_view(), finished.calibration).eval()
    stored = round_to_half(copy.deepcopy(trained))
    graph = store_half(to_onnx(stored, recipe.grid))
    some = manifest.rows_of("test")[:_PARITY_FILMS]
    films = pixels[some].astype(np.float32) / np.float32(255)
    parity = check_parity(session(graph), stored, trained, films)
    describe(graph, _facts(finished, parity))
    content = graph.SerializeToString()
    return content, _judge(finished, pixels, session(content), parity)


def _judge(finished: Finished, pixels: NDArray[np.uint8], graph: ort.InferenceSession, parity: Parity) -> Judged:
    recipe, manifest = finished.recipe, finished.manifest
    standing = standings(manifest, recipe.report)
    reported = tuple(s.class_id for s in standing if s.reported)
    threshold, answer = finished.calibration.threshold, partial(_run, graph)
    scored = score(manifest, "test", pixels, answer, threshold=threshold, baseline=finished.baseline)
    side = recipe.guard.coarsest_side
    leveled = None
    if side:
        soft = coarser(torch.from_numpy(pixels).float(), side).round().to(torch.uint8).numpy()
        same_detail = score(manifest, "test", soft, answer, threshold=threshold, baseline=None)
        leveled = figures("test", same_detail, reported, recipe.seed)
    rows, columns = answer(np.zeros((1, 1, *recipe.grid), np.float32))[2].shape[2:]
    found = figures("test", scored, reported, recipe.seed)
    return Judged(parity, scored, found, leveled, standing, (rows, columns))


def _run(graph: ort.InferenceSession, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return run(graph, image, _BATCH)


def _facts(finished: Finished, parity: Parity) -> dict[str, Any]:
    recipe = finished.recipe
    return {
        "id": recipe.id,
        "version": recipe.version,
        "task": recipe.task,
        "classes": finished.manifest.task.classes,
        "preprocess": recipe.preprocess.model_dump(),
        "calibration": finished.calibration.model_dump(),
        "heat": {"kind": "contribution", "per_class": True},
        "recipe_sha256": finished.record["recipe_sha256"],
        "data_sha256": finished.record["data_sha256"],
        "parity": parity.model_dump(),
        "versions": {"cxrd": cxrd.__version__, "torch": torch.__version__, "onnxruntime": ort.__version__},
        "exporter": f"torch.onnx dynamo, opset {OPSET}",
    }


def _write_package(target: Path, finished: Finished, graph: bytes, judged: Judged) -> None:
    beside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    files = {
        GRAPH: graph,
        "card.md": card(finished.recipe, finished.record, judged).encode(),
        "evaluation/metrics.json": _json(
            {"test": judged.found.model_dump(), "leveled": judged.leveled and judged.leveled.model_dump()}
        ),
        "evaluation/parity.json": _json(judged.parity.model_dump()),
        "evaluation/run.json": _json({k: v for k, v in finished.record.items() if k != "data"}),
        "evaluation/predictions.csv": predictions(finished.manifest, "test", judged.scored).encode(),
    }
    origin = Origin(finished.recipe, finished.record, len(finished.manifest.rows_of("train")))
    digests = {name: sha256(content).hexdigest() for name, content in files.items()}
    manifest = manifest_of(origin, finished.calibration, judged, digests)
    for name, content in {**files, MANIFEST: _json(manifest.model_dump(mode="json"))}.items():
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    beside.replace(target)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _module(model: ChestClassifier) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        raise TypeError("an architecture is a torch module")
    return model
