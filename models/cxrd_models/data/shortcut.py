"""Does a label follow from where a film came from, or how it was taken? Then it can be had for nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.data.manifest import Manifest
from cxrd_models.evaluate.scores import auroc


class Shortcut(Value):
    """How well a class is told from bookkeeping alone, on the test split.

    Attributes
    ----------
    source_auroc, view_auroc : float or None
        AUROC of "share of positives among training films of the same source / view"; None without positives.
    by_source : dict
        Share of positives among all films of each source, 0..1.
    """

    class_id: str
    source_auroc: float | None
    view_auroc: float | None
    by_source: dict[str, float]


def probe(manifest: Manifest) -> tuple[Shortcut, ...]:
    """Every class of a manifest."""
    targets, sources = manifest.targets(), manifest.sources()
    views = np.array([film.view for film in manifest.films])
    train, test = manifest.rows_of("train"), manifest.rows_of("test")
    return tuple(
        Shortcut(
            class_id=name,
            source_auroc=_told_by(sources, targets[:, k], train, test),
            view_auroc=_told_by(views, targets[:, k], train, test),
            by_source={str(s): round(float(targets[sources == s, k].mean()), 4) for s in np.unique(sources)},
        )
        for k, name in enumerate(manifest.task.classes)
    )


def _told_by(
    group: NDArray[np.str_], target: NDArray[np.float32], train: NDArray[np.int64], test: NDArray[np.int64]
) -> float | None:
    share = {g: float(target[train][group[train] == g].mean()) for g in np.unique(group[train])}
    score = np.array([share.get(g, 0.0) for g in group[test]])
    area = float(auroc(target[test], score)[0])
    return None if np.isnan(area) else round(area, 4)
