"""Points of the curves that a report shows: ROC, precision-recall, reliability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd_models.evaluate.scores import filled_bins

Floats = NDArray[np.float64]
Truth = NDArray[np.floating]


class Curve(NamedTuple):
    """[points] float64 each, both in 0..1."""

    x: Floats
    y: Floats


class Reliability(NamedTuple):
    """Bins of films of like probability.

    Attributes
    ----------
    said, seen : array
        [bins] mean probability, and share of positive films.
    low, high : array
        [bins] 95 % interval of ``seen`` (Wilson 1927).
    """

    said: Floats
    seen: Floats
    low: Floats
    high: Floats


def roc(target: Truth, score: Truth) -> Curve:
    """1 - specificity and sensitivity at every threshold, from (0, 0) to (1, 1); both sides must have films."""
    hits, called = _at_thresholds(target, score)
    positives, negatives = hits[-1], called[-1] - hits[-1]
    return Curve(np.r_[0.0, (called - hits) / negatives], np.r_[0.0, hits / positives])


def precision_recall(target: Truth, score: Truth) -> Curve:
    """Recall and precision at every threshold, the strictest first; there must be a positive film."""
    hits, called = _at_thresholds(target, score)
    return Curve(hits / hits[-1], hits / called)


def reliability(target: Truth, probability: Truth, bins: int = 10) -> Reliability:
    """Stated and observed frequency over equally filled bins."""
    parts = filled_bins(probability, bins)
    said = np.array([probability[p].mean() for p in parts], np.float64)
    seen = np.array([target[p].mean() for p in parts], np.float64)
    low, high = wilson(seen, np.array([len(p) for p in parts], np.float64))
    return Reliability(said, seen, low, high)


def wilson(share: Floats, films: Floats) -> tuple[Floats, Floats]:
    """95 % interval of shares of so many films (Wilson 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * films)) / (1 + z**2 / films)
    half = z * np.sqrt(share * (1 - share) / films + z**2 / (4 * films**2)) / (1 + z**2 / films)
    return middle - half, middle + half


def _at_thresholds(target: Truth, score: Truth) -> tuple[Floats, Floats]:
    """True positives and films called at each distinct score, the highest first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.r_[ordered[1:] != ordered[:-1], True]  # tied films are called together
    hits = np.cumsum(target[order] > 0).astype(np.float64)
    return hits[last], np.arange(1, len(order) + 1, dtype=np.float64)[last]
