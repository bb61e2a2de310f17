"""``cxrd evaluate``: the figures of a package on labelled films, through the daemon's own engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cxrd.inference.engine import Classifier, load
from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.tasks import task_with
from cxrd_models.evaluate.figures import Estimate, Figures, figures
from cxrd_models.evaluate.package import RunGraph, predictions, score
from cxrd_models.recipe import PreprocessRecipe
from cxrd_models.train.watch import Watch

_BATCH = 16
_SEED = 0


def evaluate_package(package: Path, data: Path, out: Path, watch: Watch) -> Figures:
    """Judge a package on the ``test`` split of a folder; writes ``metrics.json`` and ``predictions.csv``.

    Raises
    ------
    CxrdError
        The package or the folder cannot be used.
    """
    classifier = load(package, provider="cpu")  # figures must not depend on a driver
    declared = classifier.manifest
    manifest = read_manifest(data, task_with(tuple(c.id for c in declared.classes)))
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, PreprocessRecipe(**declared.preprocess.model_dump()), bar.advance)
    threshold = tuple(0.5 if c.threshold is None else c.threshold for c in declared.classes)
    scored = score(manifest, "test", pixels, _runner(classifier), threshold=threshold, baseline=None)
    found = figures("test", scored, _judged(classifier, manifest), _SEED)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(found.model_dump_json(indent=1) + "\n", "utf-8")
    (out / "predictions.csv").write_text(predictions(manifest, "test", scored), "utf-8")
    return found


def _runner(classifier: Classifier) -> RunGraph:
    def run(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        parts = [classifier.run(image[i : i + _BATCH]) for i in range(0, len(image), _BATCH)]
        return [np.concatenate([p.logits for p in parts]), np.concatenate([p.probs for p in parts])]

    return run


def _judged(classifier: Classifier, manifest: Manifest) -> tuple[str, ...]:
    """Return the reported classes that the folder's test films show at least once."""
    shown = manifest.targets()[manifest.rows_of("test")].sum(axis=0) > 0
    return tuple(c.id for c, seen in zip(classifier.manifest.classes, shown, strict=True) if c.reported and seen)


def figures_table(found: Figures) -> Table:
    """Show the classes that have positive films, and their mean."""
    table = Table(title=f"{found.films} films, {found.patients} patients", title_justify="left")
    for heading in ("class", "positives", "AUROC", "95 %", "within source"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for each in found.classes:
        if each.positives:
            table.add_row(each.class_id, str(each.positives), *_cells(each.auroc), _cells(each.within)[0])
    table.add_section()
    table.add_row(f"mean of {len(found.judged)} reported", "", *_cells(found.macro), _cells(found.macro_within)[0])
    return table


def _cells(estimate: Estimate) -> tuple[str, str]:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-", "-"
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"
