"""What a class does at its operating point, with intervals over patients, and how exclusive classes are mixed up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.evaluate.curves import wilson
from cxrd_models.evaluate.figures import BINS, Estimate, Scored
from cxrd_models.evaluate.scores import (
    calibration_error,
    even_bins,
    filled_bins,
    resamples,
    rounded,
    sensitivity_at,
    spread,
)

RESAMPLES = 2000
_FEWEST = 2
"""Patients from which there is an interval."""

Floats = NDArray[np.float64]


class Operating(Value):
    """One class at its threshold.

    Attributes
    ----------
    threshold : float or None
        On the calibrated probability; None for a class that is not reported, which has no figures at a point.
    true_positives, false_positives, false_negatives, true_negatives : int
        Films; 0 without a threshold.
    sensitivity, specificity, precision, f1, accuracy, matthews : Estimate
        With 95 % intervals; ``matthews`` is -1..1, the others 0..1. None where a denominator is empty.
    sensitivity_at_90, sensitivity_at_80 : Estimate
        Best sensitivity of any threshold with that specificity (in %) or more, on these very films.
    brier : Estimate
        Mean squared error of the probability.
    calibration_error, calibration_error_even : Estimate
        Expected calibration error over ten equally filled bins ("adaptive") and ten equally wide ones. It cannot fall
        below 0, so that the interval of a small one lies rather above it.
    """

    class_id: str
    reported: bool
    threshold: float | None
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    f1: Estimate
    accuracy: Estimate
    matthews: Estimate
    sensitivity_at_90: Estimate
    sensitivity_at_80: Estimate
    brier: Estimate
    calibration_error: Estimate
    calibration_error_even: Estimate


class Confusion(Value):
    """Exclusive classes: films by true class (rows) and most probable class (columns).

    Attributes
    ----------
    balanced_accuracy, macro_precision, macro_f1 : Estimate
        Means over the classes that some film has: of recall, of precision (0 for a class that is never
        answered), and of F1.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_precision: Estimate
    macro_f1: Estimate


def operating(scored: Scored, reported: tuple[bool, ...], seed: int) -> tuple[Operating, ...]:
    """Judge every class at its threshold; ``reported`` [K] tells which have one."""
    weight = np.vstack([np.ones(len(scored.target)), resamples(scored.patient, RESAMPLES, seed)])
    return tuple(_class(scored, k, weight, told=told) for k, told in enumerate(reported))


def confusion(scored: Scored, seed: int) -> Confusion:
    """Mix-ups of classes that exclude each other; a film without any true class is left out."""
    some = scored.target.any(axis=1)
    truth, said = scored.target[some].argmax(axis=1), scored.probability[some].argmax(axis=1)
    size = len(scored.classes)
    counts = np.bincount(truth * size + said, minlength=size * size).reshape(size, size)
    weight = np.vstack([np.ones(int(some.sum())), resamples(scored.patient[some], RESAMPLES, seed)])
    hit = (truth == said).astype(np.float64)
    seen = sorted(set(truth))
    right = np.stack([weight[:, truth == k] @ hit[truth == k] for k in seen])
    true = np.stack([weight[:, truth == k].sum(axis=1) for k in seen])
    called = np.stack([weight[:, said == k].sum(axis=1) for k in seen])
    return Confusion(
        classes=scored.classes,
        counts=tuple(tuple(int(x) for x in row) for row in counts),
        accuracy=estimate(_ratio(weight @ hit, weight.sum(axis=1)), len(np.unique(scored.patient[some]))),
        balanced_accuracy=estimate(_ratio(right, true).mean(axis=0)),
        macro_precision=estimate((right / np.maximum(called, 1)).mean(axis=0)),
        macro_f1=estimate(_ratio(2 * right, true + called).mean(axis=0)),
    )


def estimate(values: Floats, people: int = 0) -> Estimate:
    """Row 0 is the figure, the others its resamples.

    Parameters
    ----------
    people : int
        Patients of whom a share is told. A share of 0 or 1, which resamples cannot spread, has Wilson's interval.
    """
    low, high = spread(values[1:])
    if people >= _FEWEST and values[0] in (0, 1) and np.isnan(low):
        low, high = (float(np.clip(edge[0], 0, 1)) for edge in wilson(values[:1], np.array([float(people)])))
    return Estimate(value=rounded(values[0]), low=rounded(low), high=rounded(high))


def _class(scored: Scored, k: int, weight: Floats, *, told: bool) -> Operating:
    y, p = scored.target[:, k] > 0, scored.probability[:, k]
    called = p >= scored.threshold[k]
    cells = [weight @ (part.astype(np.float64)) for part in (y & called, ~y & called, y & ~called, ~y & ~called)]
    shares = _shares(*cells) if told else [np.full(len(weight), np.nan)] * 6
    tp, fp, fn, tn = (int(cell[0]) if told else 0 for cell in cells)
    truth = y.astype(np.float64)
    positive, negative, alarmed, all_of = (len(np.unique(scored.patient[of])) for of in (y, ~y, called, y | ~y))
    counts = (positive, negative, alarmed, 0, all_of, 0)  # of shares; F1 and Matthews' coefficient are none
    names = ("sensitivity", "specificity", "precision", "f1", "accuracy", "matthews")
    return Operating(
        class_id=scored.classes[k],
        reported=told,
        threshold=scored.threshold[k] if told else None,
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        sensitivity_at_90=estimate(sensitivity_at(truth, p, 0.9, weight)),
        sensitivity_at_80=estimate(sensitivity_at(truth, p, 0.8, weight)),
        brier=estimate(weight @ (p - truth) ** 2 / weight.sum(axis=1)),
        calibration_error=estimate(calibration_error(truth, p, filled_bins(p, BINS), weight)),
        calibration_error_even=estimate(calibration_error(truth, p, even_bins(p, BINS), weight)),
        **{name: estimate(share, people) for name, share, people in zip(names, shares, counts, strict=True)},
    )


def _shares(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> list[Floats]:
    """Sensitivity, specificity, precision, F1, accuracy and Matthews' coefficient of [B] counts each."""
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return [
        _ratio(tp, tp + fn),
        _ratio(tn, tn + fp),
        _ratio(tp, tp + fp),
        _ratio(2 * tp, 2 * tp + fp + fn),
        _ratio(tp + tn, tp + fp + fn + tn),
        _ratio(tp * tn - fp * fn, spread),
    ]


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, np.nan))
