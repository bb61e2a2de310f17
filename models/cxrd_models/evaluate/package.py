"""Scores a split with an exported graph: the figures of a package are those of the file that ships."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cxrd_models.data.manifest import Manifest
from cxrd_models.evaluate.figures import Scored
from cxrd_models.evaluate.people import numbered

RunGraph = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""Films [n, 1, H, W] float32 in 0..1 to (logits, probs, heat)."""


def score(
    manifest: Manifest,
    split: str,
    pixels: NDArray[np.uint8],
    graph: RunGraph,
    *,
    threshold: tuple[float, ...],
    baseline: NDArray[np.float64] | None,
) -> Scored:
    """Answer every film of a split.

    Parameters
    ----------
    pixels : array
        [films, 1, H, W] uint8, all films of the manifest.
    baseline : array or None
        [films, K] decision values of the baseline.
    """
    rows = manifest.rows_of(split)
    probability = graph(pixels[rows].astype(np.float32) / np.float32(255))[1].astype(np.float64)
    return Scored(
        classes=manifest.task.classes,
        target=manifest.targets()[rows],
        probability=probability,
        baseline=None if baseline is None else baseline[rows],
        source=manifest.sources()[rows],
        patient=manifest.patients()[rows],
        threshold=threshold,
    )


def predictions(manifest: Manifest, split: str, scored: Scored) -> str:
    """Return CSV with a line per film of a split: file, patient's number, then truth and probability of each class.

    The gate of a promotion draws films by patient, so it has to know which belong together.
    """
    who = numbered(manifest)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "patient", *(f"{kind}_{name}" for name in scored.classes for kind in ("true", "p"))])
    for row, target, probability in zip(manifest.rows_of(split), scored.target, scored.probability, strict=True):
        answers = [x for t, p in zip(target, probability, strict=True) for x in (int(t), f"{p:.5f}")]
        table.writerow([manifest.films[int(row)].told, who[int(row)], *answers])
    return text.getvalue()
