"""What a class does at its operating point, with intervals over patients, and how exclusive classes are mixed up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.evaluate.figures import Estimate, Scored
from cxrd_models.evaluate.scores import expected_calibration_error, interval, resamples, rounded

RESAMPLES = 2000
_BINS = 10

Floats = NDArray[np.float64]
Truth = NDArray[np.floating]


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
    sensitivity_at_90, sensitivity_at_80 : float or None
        Best sensitivity of any threshold with that specificity (in %) or more, on these very films.
    brier : float
        Mean squared error of the probability.
    calibration_error, calibration_error_even : float
        Expected calibration error over ten equally filled bins ("adaptive") and ten equally wide ones.
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
    sensitivity_at_90: float | None
    sensitivity_at_80: float | None
    brier: float
    calibration_error: float
    calibration_error_even: float


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
        accuracy=estimate(_ratio(weight @ hit, weight.sum(axis=1))),
        balanced_accuracy=estimate(_ratio(right, true).mean(axis=0)),
        macro_precision=estimate((right / np.maximum(called, 1)).mean(axis=0)),
        macro_f1=estimate(_ratio(2 * right, true + called).mean(axis=0)),
    )


def sensitivity_at(target: Truth, score: Truth, specificity: float) -> float:
    """Best sensitivity of a threshold whose specificity is at least that; NaN where one side is empty."""
    positives, negatives = score[target > 0], np.sort(score[target == 0])
    if not len(positives) or not len(negatives):
        return float("nan")
    spared = int(np.ceil(specificity * len(negatives) - 1e-9))  # negatives that must stay below the threshold
    bar = negatives[spared - 1] if spared else -np.inf
    return float((positives > bar).mean())


def even_calibration_error(target: Truth, probability: Truth, bins: int = _BINS) -> float:
    """Mean gap of stated and observed frequency over equally *wide* bins, weighted by films (Guo et al. 2017)."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = [abs(float((probability - target)[place == b].sum())) for b in range(bins)]
    return sum(gaps) / len(target)


def estimate(values: Floats) -> Estimate:
    """Row 0 is the figure, the others its resamples."""
    low, high = interval(values[1:])
    return Estimate(value=rounded(values[0]), low=rounded(low), high=rounded(high))


def _class(scored: Scored, k: int, weight: Floats, *, told: bool) -> Operating:
    y, p = scored.target[:, k] > 0, scored.probability[:, k]
    called = p >= scored.threshold[k]
    cells = [weight @ (part.astype(np.float64)) for part in (y & called, ~y & called, y & ~called, ~y & ~called)]
    shares = _shares(*cells) if told else [np.full(len(weight), np.nan)] * 6
    tp, fp, fn, tn = (int(cell[0]) if told else 0 for cell in cells)
    truth = y.astype(np.float64)
    names = ("sensitivity", "specificity", "precision", "f1", "accuracy", "matthews")
    return Operating(
        class_id=scored.classes[k],
        reported=told,
        threshold=scored.threshold[k] if told else None,
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        sensitivity_at_90=rounded(sensitivity_at(truth, p, 0.9)),
        sensitivity_at_80=rounded(sensitivity_at(truth, p, 0.8)),
        brier=round(float(np.mean((p - truth) ** 2)), 4),
        calibration_error=round(expected_calibration_error(truth, p, _BINS), 4),
        calibration_error_even=round(even_calibration_error(truth, p), 4),
        **{name: estimate(share) for name, share in zip(names, shares, strict=True)},
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
