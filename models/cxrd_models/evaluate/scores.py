"""AUROC, average precision and calibration figures; vectorised so that a bootstrap takes a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def auroc(target: Floats, score: Floats, weight: Floats | None = None) -> NDArray[np.float64]:
    """Area under the ROC curve, ties counted half.

    Parameters
    ----------
    target : array
        [n], 0 or 1.
    score : array
        [n].
    weight : array, optional
        [B, n] multiplicities of B resamples; one area each.

    Returns
    -------
    array
        [B] float64 ([1] without weights); NaN where one side is empty.
    """
    weight = np.ones((1, len(target))) if weight is None else weight
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    positive = weight[:, order] * (target[order] > 0)
    negative = weight[:, order] - positive
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(score) else np.zeros(0, np.intp)
    if not len(starts):
        return np.full(len(weight), np.nan)
    up, down = np.add.reduceat(positive, starts, axis=1), np.add.reduceat(negative, starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    pairs = up.sum(axis=1) * down.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((up * (below + down / 2)).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def auroc_within(
    target: Floats, score: Floats, group: NDArray[np.str_], weight: Floats | None = None
) -> NDArray[np.float64]:
    """AUROC over pairs of films of the *same* group only, [B]: what is left when the group tells nothing."""
    weight = np.ones((1, len(target))) if weight is None else weight
    total, pairs = np.zeros(len(weight)), np.zeros(len(weight))
    for name in np.unique(group):
        here = group == name
        inside = weight[:, here]
        up = inside @ (target[here] > 0)
        count = up * (inside.sum(axis=1) - up)
        total += np.nan_to_num(auroc(target[here], score[here], inside)) * count
        pairs += count
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.where(pairs > 0, pairs, np.nan))


def average_precision(target: Floats, score: Floats) -> float:
    """Area under the precision-recall curve by steps; NaN without positives."""
    if not (target > 0).any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = (target[order] > 0).astype(float)
    last_of_tie = np.r_[score[order][1:] != score[order][:-1], True]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / hits.sum()
    return float(np.sum(np.diff(np.r_[0.0, recall[last_of_tie]]) * precision[last_of_tie]))


def expected_calibration_error(target: Floats, probability: Floats, bins: int = 10) -> float:
    """Mean gap between stated and observed frequency over equally filled bins, weighted by their size."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    gaps = [len(p) * abs(probability[p].mean() - target[p].mean()) for p in parts if len(p)]
    return float(sum(gaps) / len(target))


def resamples(patient: NDArray[np.str_], count: int, seed: int) -> NDArray[np.float64]:
    """[count, n] multiplicities of films when *patients* are drawn with replacement."""
    _, who = np.unique(patient, return_inverse=True)
    people = int(who.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=count)
    return drawn[:, who].astype(np.float64)


def interval(values: Floats) -> tuple[float, float]:
    """95 % percentile interval, resamples without an answer left out."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return float("nan"), float("nan")
    low, high = np.percentile(seen, (2.5, 97.5))
    return float(low), float(high)


def rounded(value: float) -> float | None:
    """Four digits; None for NaN."""
    return None if np.isnan(value) else round(float(value), 4)
