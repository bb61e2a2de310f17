"""How a version that looks on compares with the one that answers, on the same films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cxrd.findings import Answer
from cxrd.inference.answers import judge
from cxrd.inference.manifest import Manifest

Scores = Mapping[str, float]
"""Class to calibrated probability, 0..1; empty for a film outside the intended use."""


class Compared(NamedTuple):
    """One class.

    Attributes
    ----------
    films : int
        Films that both gave a probability for.
    answers : int
        Of them, those that both called present or absent.
    agree : int
        Of these, the same.
    active_positive, shadow_positive : float or None
        Share of films called present, of those that the model called; None where it called none.
    shift : float
        Mean difference of probabilities, shadow less active.
    apart : float
        95th percentile of their absolute difference.
    """

    finding: str
    films: int
    answers: int
    agree: int
    active_positive: float | None
    shadow_positive: float | None
    shift: float
    apart: float


class Agreement(NamedTuple):
    """All classes together."""

    films: int
    answers: int
    agree: int

    @property
    def share(self) -> float | None:
        """Share of answers that agree, 0..1; None where no film was answered by both."""
        return self.agree / self.answers if self.answers else None


def compare(active: Manifest, shadow: Manifest, pairs: Sequence[tuple[Scores, Scores]]) -> list[Compared]:
    """Compare class by class, at the operating points of both manifests.

    Parameters
    ----------
    active, shadow : Manifest
        At the site's operating points.
    pairs : sequence of (Scores, Scores)
        What both said of each film, the active version first.
    """
    ours = [c.id for c in shadow.classes]
    said = [(_answers(active, a), _answers(shadow, s), a, s) for a, s in pairs]
    return [_class(name, said) for name in (c.id for c in active.classes) if name in ours]


def agreement(pairs: Sequence[tuple[Scores, Scores]], found: Sequence[Compared]) -> Agreement:
    """Sum the classes up."""
    films = sum(bool(a) and bool(s) for a, s in pairs)
    return Agreement(films, sum(c.answers for c in found), sum(c.agree for c in found))


def _class(name: str, said: Sequence[tuple[Mapping[str, Answer], Mapping[str, Answer], Scores, Scores]]) -> Compared:
    both = [(a[name], s[name], p[name], q[name]) for a, s, p, q in said if name in a and name in s]
    called = [(a, s) for a, s, _, _ in both if Answer.UNDETERMINED not in (a, s)]
    gap = np.array([q - p for _, _, p, q in both])
    return Compared(
        finding=name,
        films=len(both),
        answers=len(called),
        agree=sum(a is s for a, s in called),
        active_positive=_positive([a for a, _, _, _ in both]),
        shadow_positive=_positive([s for _, s, _, _ in both]),
        shift=float(gap.mean()) if len(gap) else 0.0,
        apart=float(np.percentile(np.abs(gap), 95)) if len(gap) else 0.0,
    )


def _answers(manifest: Manifest, scores: Scores) -> dict[str, Answer]:
    """What a model calls each class of a film; nothing for a film that it did not answer."""
    names = [c.id for c in manifest.classes]
    if not all(name in scores for name in names):
        return {}
    return dict(zip(names, judge(manifest, np.array([scores[n] for n in names], np.float32)), strict=True))


def _positive(answers: Sequence[Answer]) -> float | None:
    called = [a for a in answers if a is not Answer.UNDETERMINED]
    return sum(a is Answer.PRESENT for a in called) / len(called) if called else None
