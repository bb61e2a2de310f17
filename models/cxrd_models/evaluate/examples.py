"""Films worth a look: the calls that a package was surest of, right and wrong."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd_models.evaluate.figures import Scored

Verdict = Literal["hit", "false alarm", "missed", "mixed up"]


class Example(NamedTuple):
    """A call on a film.

    Attributes
    ----------
    film : int
        Row of the scored split.
    k : int
        Class that was called, or missed; its map is the one to look at.
    verdict : str
        ``hit``: called and there. ``false alarm``: called, not there. ``missed``: there, not called. ``mixed up``:
        of exclusive classes, another one is true.
    true : int or None
        The true class of a film that was mixed up.
    margin : float
        How sure: distance of the probability from the threshold (from one half, of exclusive classes), log-odds.
    """

    film: int
    k: int
    verdict: Verdict
    true: int | None
    margin: float


def examples(scored: Scored, judged: tuple[str, ...], count: int, *, exclusive: bool) -> tuple[Example, ...]:
    """Return ``count`` right calls and ``count`` wrong ones, no film twice among either.

    The surest of each kind and class come first, then the second surest of each: a page of one kind of mistake
    would hide the others.
    """
    found = _in_turns(_exclusive(scored) if exclusive else _each(scored, judged))
    right = _first([e for e in found if e.verdict == "hit"], count)
    wrong = _first([e for e in found if e.verdict != "hit"], count)
    return (*right, *wrong)


def _each(scored: Scored, judged: tuple[str, ...]) -> list[Example]:
    """Calls of classes for themselves; a film rightly called free of something shows nothing worth a look."""
    found = []
    for k in (scored.classes.index(name) for name in judged):
        margin = _log_odds(scored.probability[:, k]) - float(_log_odds(np.array(scored.threshold[k])))
        for i, (m, true) in enumerate(zip(margin, scored.target[:, k] > 0, strict=True)):
            if m >= 0 or true:
                verdict: Verdict = "missed" if m < 0 else "hit" if true else "false alarm"
                found.append(Example(i, k, verdict, None, abs(float(m))))
    return found


def _exclusive(scored: Scored) -> list[Example]:
    found = []
    for i in np.flatnonzero(scored.target.any(axis=1)):
        k, true = int(scored.probability[i].argmax()), int(scored.target[i].argmax())
        margin = float(_log_odds(scored.probability[i, k]))
        found.append(Example(int(i), k, "hit" if k == true else "mixed up", None if k == true else true, margin))
    return found


def _in_turns(found: list[Example]) -> list[Example]:
    found = sorted(found, key=lambda e: (-e.margin, e.film, e.k))
    place: dict[Example, int] = {}
    seen = Counter[tuple[Verdict, int]]()
    for example in found:
        place[example] = seen[example.verdict, example.k]
        seen[example.verdict, example.k] += 1
    return sorted(found, key=place.__getitem__)


def _first(ordered: list[Example], count: int) -> list[Example]:
    seen: dict[int, Example] = {}
    for example in ordered:
        seen.setdefault(example.film, example)
    return list(seen.values())[:count]


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p / (1 - p)))
