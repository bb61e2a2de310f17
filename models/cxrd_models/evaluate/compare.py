"""Whether one model's areas are really larger than another's on the same films: DeLong's test, Holm's correction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from cxrd.findings import Value
from cxrd_models.evaluate.scores import rounded

Floats = NDArray[np.float64]
_FEWEST = 2
"""Patients with and without a finding from which two areas can be compared."""


class Comparison(Value):
    """Two models on one class.

    Attributes
    ----------
    first, second, difference : float or None
        AUROC of both, and first - second.
    low, high : float or None
        95 % interval of the difference.
    p : float or None
        Two-sided, of no difference; None where a side has films of fewer than two patients.
    p_holm : float or None
        The same, corrected for all classes compared.
    """

    class_id: str
    positives: int
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


class Areas(NamedTuple):
    """AUROC [M] of M models on the same films, and their covariance [M, M]."""

    area: Floats
    covariance: Floats


def delong(target: NDArray[np.floating], scores: NDArray[np.floating], cluster: NDArray[np.str_]) -> Areas:
    """Areas and their covariance by midranks.

    Parameters
    ----------
    target : array
        [n], 0 or 1, both present.
    scores : array
        [M, n].
    cluster : array
        [n] patient of each film. Films of a patient are not independent, so their components are summed before
        they are squared (Obuchowski 1997); with one film each this is DeLong et al. 1988, computed as by Sun and
        Xu 2014.
    """
    true = target > 0
    above, below = scores[:, true], scores[:, ~true]
    m, n = above.shape[1], below.shape[1]
    ranks = rankdata(np.concatenate([above, below], axis=1), axis=1)
    of_true = (ranks[:, :m] - rankdata(above, axis=1)) / n  # [M, m] share of negatives below each positive
    of_false = 1 - (ranks[:, m:] - rankdata(below, axis=1)) / m
    area = np.asarray(of_true.mean(axis=1))
    _, who = np.unique(cluster, return_inverse=True)
    people = int(who.max()) + 1
    up = _summed(of_true - area[:, None], who[true], people)
    down = _summed(of_false - area[:, None], who[~true], people)
    with_true, with_false = len(np.unique(who[true])), len(np.unique(who[~true]))
    cross = up @ down.T * _inflation(people) / (m * n)
    covariance = (
        up @ up.T * _inflation(with_true) / m**2 + down @ down.T * _inflation(with_false) / n**2 + cross + cross.T
    )
    return Areas(area, np.asarray(covariance))


def holm(p: Floats) -> Floats:
    """Holm 1979: [K] p values that may be read together; NaN stays NaN and does not count."""
    found = np.full(len(p), np.nan)
    seen = np.flatnonzero(~np.isnan(p))
    order = seen[np.argsort(p[seen], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def compare(
    classes: tuple[str, ...],
    target: NDArray[np.floating],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    patient: NDArray[np.str_],
) -> tuple[Comparison, ...]:
    """Compare two models' scores [n, K] of the same films, class by class."""
    pairs = [_pair(target[:, k], np.stack([first[:, k], second[:, k]]), patient) for k in range(len(classes))]
    corrected = holm(np.array([pair.p for pair in pairs]))
    return tuple(
        Comparison(
            class_id=name,
            positives=int(target[:, k].sum()),
            p_holm=_small(float(corrected[k])),
            p=_small(pair.p),
            first=rounded(pair.first),
            second=rounded(pair.second),
            difference=rounded(pair.first - pair.second),
            low=rounded(pair.first - pair.second - pair.half),
            high=rounded(pair.first - pair.second + pair.half),
        )
        for k, (name, pair) in enumerate(zip(classes, pairs, strict=True))
    )


class _Pair(NamedTuple):
    first: float
    second: float
    half: float
    p: float


def _pair(target: NDArray[np.floating], scores: NDArray[np.floating], patient: NDArray[np.str_]) -> _Pair:
    nothing = float("nan")
    if not 0 < (target > 0).sum() < len(target):
        return _Pair(nothing, nothing, nothing, nothing)
    area, covariance = delong(target, scores, patient)
    apart = float(area[0] - area[1])
    if min(len(np.unique(patient[side])) for side in (target > 0, target == 0)) < _FEWEST:
        return _Pair(float(area[0]), float(area[1]), nothing, nothing)  # one patient says nothing of a spread
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    if error < 1e-12:  # the same order of films: nothing can be told but equality
        return _Pair(float(area[0]), float(area[1]), 0.0, 1.0 if abs(apart) < 1e-12 else 0.0)
    return _Pair(float(area[0]), float(area[1]), float(norm.ppf(0.975)) * error, float(2 * norm.sf(abs(apart) / error)))


def _summed(parts: Floats, who: NDArray[np.int64], people: int) -> Floats:
    """[M, people] sums of [M, films] over each patient."""
    return np.stack([np.bincount(who, row, people) for row in parts])


def _inflation(groups: int) -> float:
    """Correct for the mean that was fitted."""
    return groups / (groups - 1) if groups > 1 else 1.0


def _small(p: float) -> float | None:
    return None if np.isnan(p) else float(f"{p:.3g}")
