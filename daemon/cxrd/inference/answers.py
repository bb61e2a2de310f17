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
    View,
)
from cxrd.inference.heatmap import box_on_film, in_film_orientation
from cxrd.inference.manifest import IntendedUse, Manifest, ModelClass


def answer(  # noqa: PLR0913 - what a judgement is made of
    manifest: Manifest,
    model: ModelRef,
    probs: NDArray[np.float32],
    heat: NDArray[np.float32] | None,
    film: FilmRef,
    age_years: float | None,
) -> ModelAnswer:
    """One model's answer on one film.

    Parameters
    ----------
    probs : float32 (K,)
        Calibrated, 0..1.
    heat : float32 (K or 1, h, w) or None
        Raw maps, >= 0, as the model saw the film (never mirrored).
    film : FilmRef
        The film, for its view, matrix and mirroring.
    age_years : float or None
        Patient's age, where the header tells.
    """
    applicability, note = applies(manifest.intended_use, film.view, age_years)
    if applicability is Applicability.OUTSIDE:
        return ModelAnswer(model=model, applicability=applicability, note=note, findings=())
    verdicts = judge(manifest, probs)
    strongest = int(np.argmax(probs))
    findings = []
    for index, (klass, verdict) in enumerate(zip(manifest.classes, verdicts, strict=True)):
        kept, boxes = None, ()
        if heat is not None and manifest.heat is not None and (verdict is Answer.PRESENT or index == strongest):
            raw = heat[index if manifest.heat.per_class else 0]
            kept, boxes = _where(manifest, klass, verdict, raw, film)
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


def applies(use: IntendedUse, view: View, age_years: float | None) -> tuple[Applicability, str]:
    """Whether a film lies inside a model's intended use; unknown where the header does not tell."""
    low, high = use.min_age_years, use.max_age_years
    if age_years is not None and ((low is not None and age_years < low) or (high is not None and age_years > high)):
        return Applicability.OUTSIDE, f"age {age_years:.0f} is outside the model's intended use"
    if view in {View.PA, View.AP} and view.value not in use.views:
        return Applicability.OUTSIDE, f"view {view} is outside the model's intended use"
    unknown = []
    if age_years is None and (low is not None or high is not None):
        unknown.append("age")
    if view in {View.UNKNOWN, View.FRONTAL} and (view is View.UNKNOWN or len(use.views) < 2):
        unknown.append("view")
    if unknown:
        return Applicability.UNKNOWN, f"the header does not tell the {' or the '.join(unknown)}"
    return Applicability.INSIDE, ""


def judge(manifest: Manifest, probs: NDArray[np.float32]) -> list[Answer]:
    """Present or absent by each class's own threshold; undetermined where the class is not reported.

    Exclusive classes (softmax) of which none reaches its threshold are undetermined; of several that do, the
    most probable is present.
    """
    said = [_by_threshold(klass, float(p)) for klass, p in zip(manifest.classes, probs, strict=True)]
    if manifest.task == "multilabel":
        return said
    above = [i for i, verdict in enumerate(said) if verdict is Answer.PRESENT]
    if not above:
        return [Answer.UNDETERMINED] * len(said)
    chosen = max(above, key=lambda i: float(probs[i]))
    return [Answer.PRESENT if i == chosen else Answer.ABSENT for i in range(len(said))]


def _by_threshold(klass: ModelClass, probability: float) -> Answer:
    if not klass.reported or klass.threshold is None:
        return Answer.UNDETERMINED
    return Answer.PRESENT if probability >= klass.threshold else Answer.ABSENT


def _where(
    manifest: Manifest, klass: ModelClass, verdict: Answer, raw: NDArray[np.float32], film: FilmRef
) -> tuple[Heat | None, tuple[Box, ...]]:
    spec = manifest.heat
    if spec is None:
        return None, ()
    seen = in_film_orientation(raw, film)
    if verdict is not Answer.PRESENT or klass.role is not ClassRole.FINDING:
        return Heat.from_grid(seen), ()
    box = box_on_film(seen, film, threshold=spec.box_threshold, min_peak=spec.min_peak)
    return Heat.from_grid(seen), (box,) if box else ()
