"""Answers of a package on its test films beside the truth, and whether another package's are worse on the same films.

Films are compared in pairs: the same films are drawn again and again (by patient where the table tells patients)
and the difference of the areas under the ROC curve is taken each time, so that an easy test set helps neither.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import PackageError
from cxrd.inference.manifest import Manifest
from cxrd.inference.reference import SCORES, columns

DRAWS = 1000
_SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """Predictions of one package.

    Attributes
    ----------
    films : tuple of str
        Names, (n,).
    patients : tuple of str
        Whose they are; the film's own name where the table does not tell.
    truth, scores : Mapping from class to float64 (n,)
        0 or 1, and probabilities 0..1.
    """

    films: tuple[str, ...]
    patients: tuple[str, ...]
    truth: Mapping[str, Floats]
    scores: Mapping[str, Floats]


class Difference(NamedTuple):
    """Area of the candidate less that of the active version, with its 95 % interval.

    Attributes
    ----------
    name : str
        A class, or "mean" of all that are compared.
    """

    name: str
    candidate: float
    active: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """The difference itself."""
        return self.candidate - self.active


def read_trial(folder: Path, manifest: Manifest) -> Trial | None:
    """Read a package's own predictions; None where it carries none.

    Raises
    ------
    PackageError
        The file is not that of the manifest, or no table of numbers.
    """
    found = columns(folder, manifest, SCORES)
    return _trial(found, str(folder / SCORES)) if found else None


def parse_trial(text: str, where: str) -> Trial:
    """Read predictions that ``cxrd evaluate`` wrote.

    Raises
    ------
    PackageError
        It is no such table.
    """
    rows = list(csv.DictReader(StringIO(text)))
    return _trial({key: [row[key] for row in rows] for key in (rows[0] if rows else ())}, where)


def _trial(found: Mapping[str, list[str]], where: str) -> Trial:
    try:
        films = tuple(found["file"])
        names = [key.removeprefix("p_") for key in found if key.startswith("p_") and f"true_{key[2:]}" in found]
        truth, scores = (
            {name: np.array([float(x) for x in found[f"{kind}_{name}"]]) for name in names} for kind in ("true", "p")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PackageError(f"{where} is no table of predictions: {error}", hint="evaluate the package again") from None
    return Trial(films, tuple(found.get("patient", films)), truth, scores)


def together(candidate: Trial, active: Trial) -> tuple[list[int], list[int]]:
    """Rows of the films that both were tested on."""
    where = {film: row for row, film in enumerate(active.films)}
    mine = [row for row, film in enumerate(candidate.films) if film in where]
    return mine, [where[candidate.films[row]] for row in mine]


def compare(candidate: Trial, active: Trial, classes: Sequence[str]) -> list[Difference]:
    """Compare areas on the films that both were tested on.

    Parameters
    ----------
    classes : sequence of str
        Which to compare; one without positive or without negative films among them is left out.

    Returns
    -------
    list of Difference
        Classes in order, then their mean; empty where nothing can be compared.
    """
    mine, theirs = together(candidate, active)
    who = np.unique([candidate.patients[row] for row in mine], return_inverse=True)[1]
    truth = {c: candidate.truth[c][mine] for c in classes if c in candidate.truth and c in active.scores}
    usable = [c for c, t in truth.items() if 0 < t.sum() < len(t)]
    if not usable:
        return []
    pair = [(truth[c], candidate.scores[c][mine], active.scores[c][theirs]) for c in usable]
    point = np.array([[auroc(t, a), auroc(t, b)] for t, a, b in pair])
    people = [np.flatnonzero(who == person) for person in range(int(who.max()) + 1)]
    random = np.random.default_rng(_SEED)
    drawn = np.empty((DRAWS, len(usable)))
    for draw in range(DRAWS):
        rows = np.concatenate([people[i] for i in random.integers(0, len(people), len(people))])
        drawn[draw] = [auroc(t[rows], a[rows]) - auroc(t[rows], b[rows]) for t, a, b in pair]
    drawn = np.column_stack([drawn, _mean(drawn)])
    point = np.vstack([point, point.mean(axis=0)])
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return [
        Difference(name, float(p[0]), float(p[1]), float(lo), float(hi))
        for name, p, lo, hi in zip([*usable, "mean"], point, low, high, strict=True)
    ]


def auroc(truth: Floats, scores: Floats) -> float:
    """Area under the ROC curve by midranks (Hanley and McNeil 1982); NaN where only one kind of film is there."""
    positive = truth > 0
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return float("nan")
    _, which, count = np.unique(scores, return_inverse=True, return_counts=True)
    midrank = np.cumsum(count) - (count - 1) / 2
    return float((midrank[which][positive].sum() - m * (m + 1) / 2) / (m * n))


def _mean(drawn: Floats) -> Floats:
    """Mean of the classes that a draw could judge."""
    known = ~np.isnan(drawn)
    return np.asarray(np.where(known, drawn, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
