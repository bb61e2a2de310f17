"""AUROC, average precision and calibration figures; vectorised so that a bootstrap takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_AT_ONCE = 2**20
"""Counts of a kind that are held at a time: 8 MiB."""


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
    found = []
    for up, down in _tied(target, score, weight):
        below = np.cumsum(down, axis=1) - down
        pairs = up.sum(axis=1) * down.sum(axis=1)
        found.append((up * (below + down / 2)).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))
    return np.concatenate(found)


def _tied(
    target: Floats, score: Floats, weight: Floats | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Positive and negative films [b, values] of each distinct score, the least first, for some resamples at a time.

    The resamples of a large collection would take gigabytes if they were all counted at once.
    """
    weight = np.ones((1, len(target))) if weight is None else weight
    order = np.argsort(score, kind="stable")
    ordered, true = score[order], target[order] > 0
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(score) else np.zeros(0, np.intp)
    step = max(1, _AT_ONCE // max(len(score), 1))
    for first in range(0, len(weight), step):
        films = weight[first : first + step, order].astype(np.float64)
        positive = films * true
        if not len(starts):
            yield films, films
        else:
            up = np.add.reduceat(positive, starts, axis=1)
            yield up, np.add.reduceat(films, starts, axis=1) - up


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


def average_precision(target: Floats, score: Floats, weight: Floats | None = None) -> NDArray[np.float64]:
    """Area under the precision-recall curve by steps, [B] as `auroc`; NaN without positives."""
    found = []
    for up, down in _tied(target, score, weight):
        hits, called = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in (up, up + down))
        whole = up.sum(axis=1)
        precision = hits / np.where(called > 0, called, 1)
        found.append((up * precision).sum(axis=1) / np.where(whole > 0, whole, np.nan))
    return np.concatenate(found)


def filled_bins(probability: Floats, bins: int) -> list[NDArray[np.intp]]:
    """Films of each of so many equally filled bins of like probability, the least first.

    Films of one probability lie in one bin, that of their middle: parted, they would make a figure of their order.
    """
    count = len(probability)
    bin_of = np.repeat(np.arange(bins), [len(part) for part in np.array_split(np.arange(count), bins)])
    _, value, times = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(times) - (times + 1) // 2
    mine = bin_of[middle][value]
    return [films for number in range(bins) if len(films := np.flatnonzero(mine == number))]


def even_bins(probability: Floats, bins: int) -> list[NDArray[np.intp]]:
    """Films of each of so many equally *wide* bins of probability (Guo et al. 2017), without the empty ones."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    return [films for number in range(bins) if len(films := np.flatnonzero(place == number))]


def calibration_error(
    target: Floats, probability: Floats, bins: list[NDArray[np.intp]], weight: Floats | None = None
) -> NDArray[np.float64]:
    """Mean gap between stated and observed frequency over bins of films, weighted by their size, [B] as `auroc`."""
    weight = np.ones((1, len(target))) if weight is None else weight
    apart = probability - target
    gaps = [np.abs(weight[:, films] @ apart[films]) for films in bins]
    return np.asarray(np.sum(gaps, axis=0) / weight.sum(axis=1))


def sensitivity_at(
    target: Floats, score: Floats, specificity: float, weight: Floats | None = None
) -> NDArray[np.float64]:
    """Best sensitivity of a threshold whose specificity is at least that, [B] as `auroc`; NaN where a side is empty."""
    found = []
    for up, down in _tied(target, score, weight):
        positives, negatives = up.sum(axis=1), down.sum(axis=1)
        spared = np.cumsum(down, axis=1) - down >= specificity * negatives[:, None] - 1e-9
        called = np.cumsum(up[:, ::-1], axis=1)[:, ::-1]
        whole = np.where((positives > 0) & (negatives > 0), positives, np.nan)
        found.append(np.where(spared, called, 0).max(axis=1) / whole)
    return np.concatenate(found)


def resamples(patient: NDArray[np.str_], count: int, seed: int) -> NDArray[np.float64]:
    """[count, n] multiplicities of films when *patients* are drawn with replacement.

    NaN, and so no interval, where there is but one patient: drawn again and again it would give one without width.
    """
    _, who = np.unique(patient, return_inverse=True)
    people = int(who.max()) + 1
    if people == 1:
        return np.full((count, len(who)), np.nan)
    drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=count)
    return drawn[:, who].astype(np.float64)


def interval(values: Floats) -> tuple[float, float]:
    """95 % percentile interval, resamples without an answer left out."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return float("nan"), float("nan")
    low, high = np.percentile(seen, (2.5, 97.5))
    return float(low), float(high)


def spread(values: Floats) -> tuple[float, float]:
    """As `interval`; NaN where resamples are all alike: films without a mistake, drawn again, make none."""
    low, high = interval(values)
    return (low, high) if low < high else (float("nan"), float("nan"))


def rounded(value: float) -> float | None:
    """Four digits; None for NaN."""
    return None if np.isnan(value) else round(float(value), 4)
