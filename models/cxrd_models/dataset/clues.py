"""How well a label is told from source, view or size alone: what a model may learn in place of the disease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.dataset.rows import Row
from cxrd_models.evaluate.scores import auroc

LOUD = 0.7
"""AUROC of a bookkeeping entry from which a reader should look twice."""

BINS = 10
FEWEST = 5
"""Films on either side below which an AUROC says nothing."""


class Clue(Value):
    """One class of one label column.

    Attributes
    ----------
    source, view, size : float or None
        AUROC on the test split of "share of positives among training films of the same source / view / size";
        None where a side has fewer than five films.
    """

    column: str
    name: str
    source: float | None
    view: float | None
    size: float | None

    @property
    def loud(self) -> tuple[str, ...]:
        """Entries that tell the label well."""
        return tuple(k for k in ("source", "view", "size") if (getattr(self, k) or 0) >= LOUD)


def find_clues(rows: Sequence[Row]) -> tuple[Clue, ...]:
    """Every class of every label column; sizes are the rows' own."""
    entries = {
        "source": np.array([row.source for row in rows]),
        "view": np.array([row.view for row in rows]),
        "size": _sizes(rows),
    }
    split = np.array([row.split for row in rows])
    clues = []
    for column, name in sorted(Counter(one for row in rows for one in row.classes())):
        serves = np.array([bool(row.labels.get(column)) for row in rows])
        target = np.array([(column, name) in row.classes() for row in rows], np.float64)
        train, test = serves & (split == "train"), serves & (split == "test")
        told = {key: _told(entry, target, train, test) for key, entry in entries.items()}
        clues.append(Clue(column=column, name=name, **told))
    return tuple(clues)


def _sizes(rows: Sequence[Row]) -> NDArray[np.str_]:
    """Tenths of the number of pixels and of the aspect ratio, by the films themselves."""
    pixels = np.array([max(1, row.width * row.height) for row in rows], np.float64)
    aspect = np.array([row.width / max(1, row.height) for row in rows], np.float64)
    tenths = [
        np.searchsorted(np.unique(np.quantile(x, np.linspace(0, 1, BINS + 1)[1:-1])), x) for x in (pixels, aspect)
    ]
    return np.array([f"{a}/{b}" for a, b in zip(*tenths, strict=True)])


def _told(
    entry: NDArray[np.str_], target: NDArray[np.float64], train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> float | None:
    positives = int(target[test].sum())
    if min(positives, int(test.sum()) - positives) < FEWEST or not train.any():
        return None
    overall = float(target[train].mean())
    share = {key: float(target[train][entry[train] == key].mean()) for key in np.unique(entry[train])}
    score = np.array([share.get(key, overall) for key in entry[test]])
    return round(float(auroc(target[test], score)[0]), 4)
