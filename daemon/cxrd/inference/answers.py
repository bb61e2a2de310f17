"""From numbers to findings: intended use first, then operating points, then where."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import (
    Answer,
    Applicability,
    Box,
    ClassRole,
    FilmRef,
    Finding,
    Heat,
    ModelAnswer,
    ModelRef,
    Subject,
    View,
)
from cxrd.inference.heatmap import box_on_film, in_film_orientation
from cxrd.inference.manifest import HeatSpec, IntendedUse, Manifest, ModelClass


def answer(
    manifest: Manifest,
    model: ModelRef,
    probs: NDArray[np.float32],
    heat: NDArray[np.float32] | None,
    film: FilmRef,
    subject: Subject,
) -> ModelAnswer:
    """One model's answer on one film.

    Parameters
    ----------
    manifest : Manifest
        What the model's outputs mean.
    model : ModelRef
        Stated in the answer.
    probs : float32 (K,)
        Calibrated, 0..1.
    heat : float32 (K or 1, h, w) or None
        Raw maps, >= 0, as the model saw the film (never mirrored).
    film : FilmRef
        The film, for its view, matrix and mirroring.
    subject : Subject
        Whom it shows.

    Returns
    -------
    ModelAnswer
        A finding for each class; none, with a note, outside the intended use. Heat stays with present
        findings and with the strongest class, boxes with present classes of role FINDING.
    """
    applicability, note = applies(manifest.intended_use, film.view, subject)
    if applicability is Applicability.OUTSIDE:
        return ModelAnswer(model=model, applicability=applicability, note=note, findings=())
    verdicts = judge(manifest, probs)
    strongest = _strongest(manifest, probs)
    findings = []
    for index, (klass, verdict) in enumerate(zip(manifest.classes, verdicts, strict=True)):
        kept: Heat | None = None
        boxes: tuple[Box, ...] = ()
        wanted = verdict is Answer.PRESENT or index == strongest
        if heat is not None and manifest.heat is not None and wanted:
            seen = in_film_orientation(heat[index if manifest.heat.per_class else 0], film)
            kept = Heat.from_grid(seen)
            if verdict is Answer.PRESENT and klass.role is ClassRole.FINDING:
                boxes = _boxes(manifest.heat, seen, film)
        findings.append(
            Finding(
                class_id=klass.id,
                role=klass.role,
                code=klass.code,
                site=klass.site,
                probability=float(probs[index]),
                threshold=klass.threshold,
                answer=verdict,
                boxes=boxes,
                heat=kept,
            )
        )
    return ModelAnswer(model=model, applicability=applicability, note=note, findings=tuple(findings))


def applies(use: IntendedUse, view: View, subject: Subject) -> tuple[Applicability, str]:
    """Judge whether a film lies inside a model's intended use; unknown where the header does not tell.

    A film that is frontal, but not known to be PA or AP, is inside where the model may judge both.
    """
    told = {"age": _age(use, subject), "sex": _sex(use, subject), "view": _view(use, view)}
    outside = [words for words in told.values() if words]
    if outside:
        return Applicability.OUTSIDE, outside[0]
    unknown = [name for name, words in told.items() if words is None]
    if unknown:
        return Applicability.UNKNOWN, f"the header does not tell the {' or the '.join(unknown)}"
    return Applicability.INSIDE, ""


def _age(use: IntendedUse, subject: Subject) -> str | None:
    """Why a film lies outside; "" where it does not, None where the header does not tell; so too the next two."""
    low, high, age = use.min_age_years, use.max_age_years, subject.age_years
    if low is None and high is None:
        return ""
    if age is None:
        return None
    years = f"age {age:.4g}: outside intended use,"  # short enough for a line of the Secondary Capture
    if low is not None and age < low:
        return f"{years} {low:g} and older"
    return f"{years} up to {high:g}" if high is not None and age > high else ""


def _sex(use: IntendedUse, subject: Subject) -> str | None:
    if {"F", "M"} <= set(use.sexes):
        return ""
    if not subject.sex:
        return None
    return "" if subject.sex in use.sexes else f"sex {subject.sex} is outside the model's intended use"


def _view(use: IntendedUse, view: View) -> str | None:
    if view is View.UNKNOWN or (view is View.FRONTAL and not {View.PA, View.AP} <= set(use.views)):
        return None
    return "" if view is View.FRONTAL or view.value in use.views else f"view {view} is outside the model's intended use"


def judge(manifest: Manifest, probs: NDArray[np.float32]) -> tuple[Answer, ...]:
    """Judge each class by its own threshold; undetermined where the class is not reported.

    Of classes that exclude each other, the most probable of those that reach their threshold is present and
    the rest absent; where none reaches it nothing is determined, because "absent" to all of them, the normal
    film too, would be a statement that nobody made. Where none of them *has* a threshold, the most probable
    class is the answer.
    """
    said = [_by_threshold(klass, float(p)) for klass, p in zip(manifest.classes, probs, strict=True)]
    if not manifest.exclusive:
        return tuple(said)
    if all(klass.threshold is None for klass in manifest.classes):
        reached = [int(np.argmax(probs))]
    else:
        reached = [i for i, verdict in enumerate(said) if verdict is Answer.PRESENT]
    if not reached:
        return (Answer.UNDETERMINED,) * len(said)
    chosen = max(reached, key=lambda i: float(probs[i]))
    return tuple(
        Answer.UNDETERMINED if not klass.reported else Answer.PRESENT if i == chosen else Answer.ABSENT
        for i, klass in enumerate(manifest.classes)
    )


def _by_threshold(klass: ModelClass, probability: float) -> Answer:
    if not klass.reported or klass.threshold is None:
        return Answer.UNDETERMINED
    return Answer.PRESENT if probability >= klass.threshold else Answer.ABSENT


def _strongest(manifest: Manifest, probs: NDArray[np.float32]) -> int:
    """Pick the class whose odds stand highest over its operating point's, reported ones first.

    Operating points of a multi-label model follow prevalence: 0.1 is much for a nodule and little for an
    infiltrate, so bare probabilities would always show the commonest class.
    """
    points = [0.5 if klass.threshold is None or manifest.exclusive else klass.threshold for klass in manifest.classes]
    margins = _log_odds(probs) - _log_odds(np.array(points, np.float32))
    rank = [(klass.reported, float(margin)) for klass, margin in zip(manifest.classes, margins, strict=True)]
    return rank.index(max(rank))


def _log_odds(p: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _boxes(spec: HeatSpec, seen: NDArray[np.float32], film: FilmRef) -> tuple[Box, ...]:
    box = box_on_film(seen, film, threshold=spec.box_threshold, min_peak=spec.min_peak)
    return () if box is None else (box,)
