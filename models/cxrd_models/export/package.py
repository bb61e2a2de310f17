"""From a finished run to ``<out>/<id>/<version>/``: graph, manifest, card, evaluation, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

import cxrd
from cxrd.inference.engine import load as load_package
from cxrd.inference.manifest import MANIFEST, HeatSpec
from cxrd.inference.manifest import Manifest as PackageManifest
from cxrd.inference.reference import INPUTS
from cxrd_models.data.films import load_films
from cxrd_models.data.lungs import load_lungs
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.own import RUN, asked
from cxrd_models.errors import DataError, RecipeError, WeightsError
from cxrd_models.evaluate.package import predictions
from cxrd_models.export.card import card
from cxrd_models.export.fed import inputs_table
from cxrd_models.export.graph import OPSET, Calibrated, describe, to_onnx
from cxrd_models.export.judged import Judged
from cxrd_models.export.judging import judge
from cxrd_models.export.manifest import Origin, manifest_of, metrics_of
from cxrd_models.export.parity import Parity, check_parity, run, session
from cxrd_models.export.precision import Precision, shipped
from cxrd_models.export.reporting import standings
from cxrd_models.export.single import one_graph
from cxrd_models.export.traced import Traced
from cxrd_models.recipe import Recipe
from cxrd_models.train.calibrating import Calibrations
from cxrd_models.train.checkpoint import load, restore
from cxrd_models.train.job import BEST
from cxrd_models.train.prepare import new_model
from cxrd_models.train.run import BASELINE, CALIBRATION, RECORD
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import GRAPH as VIEW
from cxrd_models.zoo.contract import ChestClassifier

_PARITY_FILMS = 32
_RANGE_FILMS = 128
"""Training films on which the ranges of whole-number arithmetic are measured."""


class Finished(NamedTuple):
    """What a training run left behind."""

    recipe: Recipe
    record: dict[str, Any]
    manifest: Manifest
    model: ChestClassifier
    calibrations: Calibrations
    baseline: NDArray[np.float64] | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graphs' inputs."""
        return ("image", "mask") if self.model.takes_mask else ("image",)


def export_run(
    run_folder: Path,
    out: Path,
    data: Path | None,
    watch: Watch,
    precision: Precision = "fp32",
    *,
    single_file: bool = False,
) -> Path:
    """Export, check and judge a run; returns the package folder.

    Parameters
    ----------
    run_folder : Path
        Output of ``cxrd train``.
    out : Path
        Folder of packages; the package is ``out/<id>/<version>``.
    data : Path or None
        Where the run's films lie now; None uses the folder they were trained from.
    precision : {"fp32", "fp16", "int8"}
        See `cxrd_models.export.precision.shipped`.
    single_file : bool
        Join the two graphs of an ensemble, for runtimes other than the daemon.

    Raises
    ------
    CxrdError
        The run is not finished, the data changed, a graph is not at parity, or the package exists.
    """
    finished = read_run(run_folder, data)
    recipe = finished.recipe
    target = out / recipe.id / recipe.version
    if target.exists():
        raise RecipeError(f"{target} exists", hint="a published version never changes: raise `version` in the recipe")
    films = _read_films(finished, watch)
    watch.say("tracing ...")
    if single_file and not finished.model.ensemble:
        raise RecipeError(f"{recipe.id} is one file already", hint="--single-file is for an ensemble of two graphs")
    traced = _trace(finished, films, precision, single_file=single_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", dir=out) as room:
        beside = Path(room) / recipe.id / recipe.version  # named like a package, so that the engine loads it
        judged = _fill(beside, finished, films, traced)
        beside.replace(target)
    macro, size = judged.found.macro, sum(map(len, traced.files.values()))
    silent = "; ".join(f"{s.class_id} {s.note}" for s in judged.standing if s.note)
    around = "" if macro.low is None else f" ({macro.low} to {macro.high})"
    told = "it reports no class" if macro.value is None else f"test AUROC {macro.value}{around}"
    watch.say(f"{target}: {size / 1e6:.1f} MB, {told}" + f" ({silent})" * bool(silent))
    return target


def _fill(beside: Path, finished: Finished, films: NDArray[np.uint8], traced: Traced) -> Judged:
    """Write a package, and judge it as the daemon would load it."""
    manifest = _manifest(finished, traced)
    _write(beside, {**traced.files, MANIFEST: _json(manifest.model_dump(mode="json"))})
    judged = judge(
        load_package(beside, provider="cpu"),  # figures must not depend on a driver
        finished.manifest,
        films,
        finished.recipe,
        finished.calibrations.threshold,
        finished.baseline,
    )
    papers = {**_papers(finished, judged, traced), INPUTS: inputs_table(finished.manifest, films).encode()}
    manifest = manifest.model_copy(
        update={"metrics": metrics_of(judged.found), "files": {**manifest.files, **_digests(papers)}}
    )
    _write(beside, {**papers, MANIFEST: _json(manifest.model_dump(mode="json"))})
    return judged


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
    films = data or Path(record["data"])
    manifest = read_manifest(films, asked(recipe.task, films))
    if manifest.digest != record["data_sha256"]:
        raise DataError(f"{manifest.folder} is not the data that {folder} was trained on")
    model = new_model(recipe, manifest)
    restore(model, load(folder / BEST, torch.device("cpu"))["model"], str(folder / BEST))
    baseline = folder / BASELINE
    return Finished(
        recipe,
        record,
        manifest,
        model,
        Calibrations.model_validate_json((folder / CALIBRATION).read_text("utf-8")),
        np.load(baseline)["scores"] if baseline.exists() else None,
    )


def _read_films(finished: Finished, watch: Watch) -> NDArray[np.uint8]:
    """[films, C, H, W]: the film and, for a model that takes them, its lungs."""
    recipe, manifest = finished.recipe, finished.manifest
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, recipe.preprocess, bar.advance)
    if not finished.model.takes_mask:
        return pixels
    with watch.bar("finding lungs", len(manifest.films)) as bar:
        return np.concatenate([pixels, load_lungs(manifest, recipe.preprocess, bar.advance)], axis=1)


def _trace(finished: Finished, films: NDArray[np.uint8], precision: Precision, *, single_file: bool) -> Traced:
    some = _some(finished.manifest, films, ("test", "val", "train"), _PARITY_FILMS)
    learnt = _some(finished.manifest, films, ("train",), _RANGE_FILMS)
    graphs, parities, grids = {}, {}, []
    for name, view in finished.model.views().items():
        trained = Calibrated(view, finished.calibrations.graphs[name]).eval()
        graph = to_onnx(trained, finished.recipe.grid, finished.inputs)
        traced = session(graph)
        graph = shipped(graph, precision, learnt)
        opened = session(graph)
        parity = check_parity(traced, opened, trained, some, precision)
        graphs[name], parities[f"{name}.onnx"] = graph, parity
        grids.append(run(opened, some[:1], 1)[2].shape[1:])
    maps, rows, columns = grids[-1]  # of an ensemble, the second's is the finer one and the answer's
    heat = HeatSpec(kind=finished.recipe.heat, height=rows, width=columns, per_class=maps > 1)
    ensemble = finished.model.ensemble
    if ensemble and single_file:
        (_, *near), (_, *fine) = grids
        graphs = {VIEW: one_graph(graphs[VIEW], graphs[ensemble.second], ensemble, (tuple(near), tuple(fine)))}
        ensemble = None
    for name, graph in graphs.items():
        describe(graph, {**_facts(finished, name, parities[f"{name}.onnx"]), "precision": precision})
    files = {f"{name}.onnx": graph.SerializeToString() for name, graph in graphs.items()}
    return Traced(files, parities, heat, precision, ensemble)


def _some(manifest: Manifest, films: NDArray[np.uint8], splits: tuple[str, ...], count: int) -> NDArray[np.float32]:
    """So many films [count, C, H, W] in 0..1 from all over a split, which may be sorted by class; else of the next."""
    rows: list[int] = []
    for split in splits:
        held = manifest.rows_of(split)
        wanted = min(count - len(rows), len(held))
        rows += [int(held[i * len(held) // wanted]) for i in range(wanted)]
    return films[rows].astype(np.float32) / np.float32(255)


def _manifest(finished: Finished, traced: Traced) -> PackageManifest:
    task, films = finished.manifest.task, len(finished.manifest.rows_of("train"))
    return manifest_of(
        Origin(finished.recipe, finished.record, task, films, finished.inputs, traced.ensemble),
        finished.calibrations,
        standings(finished.manifest, finished.recipe.report),
        traced.heat,
        _digests(traced.files),
    )


def _facts(finished: Finished, graph: str, parity: Parity) -> dict[str, Any]:
    recipe = finished.recipe
    return {
        "id": recipe.id,
        "version": recipe.version,
        "task": finished.manifest.task.id,
        "classes": finished.manifest.task.classes,
        "preprocess": recipe.preprocess.model_dump(),
        "calibration": finished.calibrations.graphs[graph].model_dump(),
        "heat": recipe.heat,
        "recipe_sha256": finished.record["recipe_sha256"],
        "data_sha256": finished.record["data_sha256"],
        "parity": parity.model_dump(),
        "versions": {"cxrd": cxrd.__version__, "torch": torch.__version__, "onnxruntime": ort.__version__},
        "exporter": f"torch.onnx dynamo, opset {OPSET}",
    }


def _papers(finished: Finished, judged: Judged, traced: Traced) -> dict[str, bytes]:
    figures = {"test": judged.found.model_dump(), "leveled": judged.leveled and judged.leveled.model_dump()}
    return {
        "card.md": card(finished.recipe, finished.record, judged, traced).encode(),
        "evaluation/metrics.json": _json(figures),
        "evaluation/parity.json": _json({name: parity.model_dump() for name, parity in traced.parity.items()}),
        RUN: _json({k: v for k, v in finished.record.items() if k != "data"}),
        "evaluation/predictions.csv": predictions(finished.manifest, "test", judged.scored).encode(),
    }


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content).hexdigest() for name, content in files.items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
