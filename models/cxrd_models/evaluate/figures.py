"""What a model is worth on films it has never seen: per class and together, with intervals over patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.evaluate.compare import Comparison, compare
from cxrd_models.evaluate.scores import (
    auroc,
    auroc_within,
    average_precision,
    calibration_error,
    filled_bins,
    interval,
    resamples,
    rounded,
)

RESAMPLES = 2000
BINS = 10
"""Of probabilities, in a calibration error."""


class Estimate(Value):
    """A figure with its 95 % interval; None where the films cannot tell."""

    value: float | None
    low: float | None
    high: float | None


class ClassFigures(Value):
    """One class on the test split.

    Attributes
    ----------
    auroc, within : Estimate
        Over all pairs of films; over pairs of films of one source only.
    baseline, baseline_within : Estimate or None
        The same of the frozen-feature baseline.
    average_precision : Estimate
        Area under the precision-recall curve by steps; guessing would give the share of positives.
    sensitivity, specificity : float or None
        At the operating point.
    """

    class_id: str
    positives: int
    auroc: Estimate
    within: Estimate
    baseline: Estimate | None
    baseline_within: Estimate | None
    average_precision: Estimate
    sensitivity: float | None
    specificity: float | None
    brier: float
    calibration_error: float


class Figures(Value):
    """A model on a split.

    Attributes
    ----------
    macro, macro_within, baseline, baseline_within
        Means over ``judged`` classes.
    difference, difference_within : Estimate or None
        Model minus baseline on the same resamples (paired).
    judged : tuple of str
        Classes with enough positive films in every split.
    comparisons : tuple of Comparison
        Model against baseline, one for each judged class; empty without a baseline.
    """

    split: str
    films: int
    patients: int
    judged: tuple[str, ...]
    macro: Estimate
    macro_within: Estimate
    baseline: Estimate | None
    baseline_within: Estimate | None
    difference: Estimate | None
    difference_within: Estimate | None
    classes: tuple[ClassFigures, ...]
    comparisons: tuple[Comparison, ...] = ()


class Scored(NamedTuple):
    """A split with a model's answers.

    Attributes
    ----------
    target, probability : array
        [n, K].
    baseline : array or None
        [n, K] decision values of the baseline.
    source, patient : array
        [n] names.
    threshold : tuple of float
        K operating points.
    """

    classes: tuple[str, ...]
    target: NDArray[np.float32]
    probability: NDArray[np.float64]
    baseline: NDArray[np.float64] | None
    source: NDArray[np.str_]
    patient: NDArray[np.str_]
    threshold: tuple[float, ...]


class _Areas(NamedTuple):
    """[1 + B, K] areas: row 0 of the films as they are, the others of resamples."""

    pooled: NDArray[np.float64]
    within: NDArray[np.float64]


def figures(split: str, scored: Scored, judged: tuple[str, ...], seed: int) -> Figures:
    """Judge a scored split; ``judged`` are the classes that the means are taken over."""
    weight = np.vstack([np.ones(len(scored.target)), resamples(scored.patient, RESAMPLES, seed)])
    model = _areas(scored, scored.probability, weight)
    bar = None if scored.baseline is None else _areas(scored, scored.baseline, weight)
    columns = [scored.classes.index(name) for name in judged]

    def mean(areas: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(areas[:, columns].mean(axis=1)) if columns else np.full(len(areas), np.nan)

    return Figures(
        split=split,
        films=len(scored.target),
        patients=len(np.unique(scored.patient)),
        judged=judged,
        macro=_estimate(mean(model.pooled)),
        macro_within=_estimate(mean(model.within)),
        baseline=_estimate(mean(bar.pooled)) if bar else None,
        baseline_within=_estimate(mean(bar.within)) if bar else None,
        difference=_estimate(mean(model.pooled) - mean(bar.pooled)) if bar else None,
        difference_within=_estimate(mean(model.within) - mean(bar.within)) if bar else None,
        classes=tuple(_class_figures(scored, k, model, bar, weight) for k in range(len(scored.classes))),
        comparisons=_against_baseline(scored, columns),
    )


def _against_baseline(scored: Scored, columns: list[int]) -> tuple[Comparison, ...]:
    if scored.baseline is None:
        return ()
    names = tuple(scored.classes[k] for k in columns)
    parts = (scored.target[:, columns], scored.probability[:, columns], scored.baseline[:, columns])
    return compare(names, *parts, scored.patient)


def _areas(scored: Scored, score: NDArray[np.float64], weight: NDArray[np.float64]) -> _Areas:
    columns = range(len(scored.classes))
    return _Areas(
        np.stack([auroc(scored.target[:, k], score[:, k], weight) for k in columns], axis=1),
        np.stack([auroc_within(scored.target[:, k], score[:, k], scored.source, weight) for k in columns], axis=1),
    )


def _class_figures(
    scored: Scored, k: int, model: _Areas, bar: _Areas | None, weight: NDArray[np.float64]
) -> ClassFigures:
    target, probability = scored.target[:, k], scored.probability[:, k]
    called = probability >= scored.threshold[k]
    return ClassFigures(
        class_id=scored.classes[k],
        positives=int(target.sum()),
        auroc=_estimate(model.pooled[:, k]),
        within=_estimate(model.within[:, k]),
        baseline=_estimate(bar.pooled[:, k]) if bar else None,
        baseline_within=_estimate(bar.within[:, k]) if bar else None,
        average_precision=_estimate(average_precision(target, probability, weight)),
        sensitivity=_share(called[target > 0]),
        specificity=_share(~called[target == 0]),
        brier=round(float(np.mean((probability - target) ** 2)), 4),
        calibration_error=round(float(calibration_error(target, probability, filled_bins(probability, BINS))[0]), 4),
    )


def _estimate(values: NDArray[np.float64]) -> Estimate:
    low, high = interval(values[1:])
    return Estimate(value=rounded(float(values[0])), low=rounded(low), high=rounded(high))


def _share(answers: NDArray[np.bool_]) -> float | None:
    return round(float(answers.mean()), 4) if len(answers) else None
