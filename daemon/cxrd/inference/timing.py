"""How fast a package answers on this machine, by batch size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from cxrd.findings import Value
from cxrd.inference.engine import Classifier

WARM = 2


class Timing(Value):
    """Figures of one batch size.

    Attributes
    ----------
    batch : int
        Films judged together.
    runs : int
        Times measured, after two that were not.
    p50_ms, p95_ms : float
        Milliseconds that a batch takes.
    films_per_s : float
        By the median.
    """

    batch: int
    runs: int
    p50_ms: float
    p95_ms: float
    films_per_s: float


def measure(classifier: Classifier, batch: int, runs: int, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Judge made-up films again and again; what they show does not change the time.

    Raises
    ------
    InferenceError
        The batch does not fit the machine's memory.
    """
    size = (batch, 1, classifier.manifest.preprocess.height, classifier.manifest.preprocess.width)
    films = np.random.default_rng(0).random(size, np.float32)
    lungs = np.ones_like(films) if classifier.takes_mask else None
    took = []
    for _ in range(WARM + runs):
        began = clock()
        classifier.run(films, lungs)
        took.append(clock() - began)
    measured = sorted(took[WARM:])
    middle = statistics.median(measured)
    return Timing(
        batch=batch,
        runs=runs,
        p50_ms=round(middle * 1e3, 2),
        p95_ms=round(measured[min(len(measured) - 1, int(0.95 * len(measured)))] * 1e3, 2),
        films_per_s=round(batch / middle, 1),
    )
