"""``manifest.json`` of a package, in the daemon's own schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrd.imaging.preprocess import Preprocess
from cxrd.inference.manifest import SCHEMA_VERSION, GateSpec, HeatSpec, Manifest, Metric, ModelClass, Training
from cxrd.inference.manifest import Calibration as DeclaredCalibration
from cxrd.vocabulary import Term
from cxrd_models.data.tasks import Task
from cxrd_models.evaluate.figures import Estimate, Figures
from cxrd_models.export.graph import OPSET
from cxrd_models.export.reporting import Standing
from cxrd_models.export.terms import term_of
from cxrd_models.recipe import Recipe
from cxrd_models.train.calibrating import Calibrations
from cxrd_models.zoo.contract import GRAPH as VIEW
from cxrd_models.zoo.contract import Ensemble


class Origin(NamedTuple):
    """What a run tells of itself.

    Attributes
    ----------
    films : int
        Films it learnt from.
    inputs : tuple of str
        Names of the graphs' inputs.
    """

    recipe: Recipe
    record: Mapping[str, Any]
    task: Task
    films: int
    inputs: tuple[str, ...]
    ensemble: Ensemble | None


def manifest_of(
    origin: Origin,
    calibrations: Calibrations,
    standing: tuple[Standing, ...],
    heat: HeatSpec,
    files: Mapping[str, str],
) -> Manifest:
    """Return the manifest, still without figures; ``files`` maps names to sha256 (hex)."""
    recipe, record, ensemble = origin.recipe, origin.record, origin.ensemble
    scaling = calibrations.graphs[VIEW]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        id=recipe.id,
        version=recipe.version,
        title=recipe.title,
        task=origin.task.kind,
        classes=tuple(
            _class(state, term_of(state.class_id, recipe.terms), threshold)
            for state, threshold in zip(standing, calibrations.threshold, strict=True)
        ),
        preprocess=Preprocess.model_validate(recipe.preprocess.model_dump()),
        inputs=origin.inputs,
        heat=heat,
        gate=ensemble
        and GateSpec(graph=f"{ensemble.second}.onnx", threshold=ensemble.threshold, weight=ensemble.weight),
        calibration=DeclaredCalibration(scale=scaling.slope, bias=scaling.bias),
        intended_use=recipe.use,
        training=Training(
            recipe=f"{recipe.id}.toml",
            recipe_digest=record["recipe_sha256"],
            data_digest=record["data_sha256"],
            films=origin.films,
            licence=f"research use only; {recipe.data_licence}",
        ),
        metrics={},
        opset=OPSET,
        files=dict(files),
    )


def _class(state: Standing, term: Term, threshold: float) -> ModelClass:
    return ModelClass(
        id=state.class_id,
        role=term.role,
        code=term.code,
        site=term.site,
        threshold=round(threshold, 6) if state.reported else None,
        reported=state.reported,
        note=state.note or "threshold: Youden's point on validation, drawn towards the prevalence",
    )


def metrics_of(found: Figures) -> dict[str, Metric]:
    """Mean figures, then one AUROC for each class that has positive test films."""
    named = {
        "auroc_mean_reported": (found.macro, found.films),
        "auroc_mean_reported_within_source": (found.macro_within, found.films),
        "auroc_mean_reported_baseline": (found.baseline, found.films),
        **{f"auroc_{c.class_id}": (c.auroc, c.positives) for c in found.classes},
    }
    return {name: _metric(e, n) for name, (e, n) in named.items() if e is not None and e.value is not None}


def _metric(estimate: Estimate, n: int) -> Metric:
    if estimate.value is None:
        raise ValueError("an estimate without a value is no metric")
    return Metric(value=estimate.value, low=estimate.low, high=estimate.high, n=n)
