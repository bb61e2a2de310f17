"""The tables of an evaluation as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from cxrd_models.evaluate.bundle import Evaluation, Subject
from cxrd_models.evaluate.figures import Estimate, Scored
from cxrd_models.evaluate.people import numbered
from cxrd_models.evaluate.places import Place
from cxrd_models.evaluate.subgroups import Subgroup

_AT = (
    "sensitivity", "specificity", "precision", "f1", "accuracy", "matthews",
    "sensitivity_at_90", "sensitivity_at_80", "brier", "calibration_error", "calibration_error_even",
)  # fmt: skip
_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
_PLACE = (
    "iou", "giou", "iobb", "hausdorff_corners", "hausdorff_contour", "distance_corners", "distance_contour", "pointed",
)  # fmt: skip


def per_class(found: Evaluation) -> str:
    """Return a line for each class: areas and what it does at its operating point, with intervals."""
    heading = ["class", "positives", "reported", *_three("auroc"), *_three("auroc_within_source")]
    heading += [
        *_three("average_precision"),
        "threshold",
        *_COUNTS,
        *(name for at in _AT for name in _three(at)),
    ]
    lines = [
        [
            area.class_id, area.positives, at.reported, *_values(area.auroc), *_values(area.within),
            *_values(area.average_precision), at.threshold, *(getattr(at, c) if at.reported else None for c in _COUNTS),
            *(value for name in _AT for value in _values(getattr(at, name))),
        ]
        for area, at in zip(found.classes, found.operating, strict=True)
    ]  # fmt: skip
    return _text(heading, lines)


def predictions(subject: Subject, scored: Scored) -> str:
    """Return a line for each film: file, number of the patient, then truth, probability and logit of each class."""
    heading = ["file", "patient", *(f"{kind}_{name}" for name in scored.classes for kind in ("true", "p", "logit"))]
    lines = []
    for i, (film, patient) in enumerate(zip(subject.manifest.films, numbered(subject.manifest), strict=True)):
        trios = zip(scored.target[i], scored.probability[i], subject.answers.logits[i], strict=True)
        lines.append([film.told, patient, *(x for y, p, z in trios for x in (int(y), f"{p:.5f}", f"{z:.5f}"))])
    return _text(heading, lines)


def groups(found: tuple[Subgroup, ...]) -> str:
    """Return a line for each class in each group."""
    heading = ["attribute", "group", "class", "films", "patients", "positives"]
    heading += [*_three("auroc"), *_three("missed"), *_three("missed_gap"), "note"]
    lines = [
        [g.attribute, g.group, g.class_id, g.films, g.patients, g.positives,
         *_values(g.auroc), *_values(g.missed), *_values(g.gap), g.note]
        for g in found
    ]  # fmt: skip
    return _text(heading, lines)


def spots(found: tuple[Place, ...]) -> str:
    """Return a line for each map that was compared with a boxed film; boxes in pixels of the film."""
    sides = ("left", "top", "right", "bottom")
    heading = ["file", "class", "map", "boxes", *(f"{kind}_{s}" for kind in ("predicted", "true") for s in sides)]
    lines = [
        [p.file, p.class_id, p.map, p.boxes,
         *(None if box is None else round(getattr(box, s), 1) for box in (p.box, p.truth) for s in sides),
         *(_short(getattr(p, name)) for name in _PLACE)]
        for p in found
    ]  # fmt: skip
    return _text([*heading, *_PLACE], lines)


def _three(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _values(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _text(heading: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(heading)
    table.writerows(lines)
    return text.getvalue()
