"""Two versions of a tiny model that were tested on the same films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from support.packages import CLASSES, make_package

FILMS = 200


def predictions(skill: float, *, seed: int = 0, films: int = FILMS, first: int = 0) -> bytes:
    """Predictions on test films; ``skill`` is how far scores of positive films lie above the others' (0: chance)."""
    random = np.random.default_rng(7)
    truth = random.integers(0, 2, (films, len(CLASSES)))
    noise = np.random.default_rng(seed).normal(0, 0.1, truth.shape) + random.normal(0, 1, truth.shape)
    scores = 1 / (1 + np.exp(-(noise + skill * truth)))
    head = ",".join(["file", *(f"{kind}_{name}" for name in CLASSES for kind in ("true", "p"))])
    lines = [
        ",".join([f"{first + i}.png", *(x for y, p in zip(t, s, strict=True) for x in (str(y), f"{p:.5f}"))])
        for i, (t, s) in enumerate(zip(truth, scores, strict=True))
    ]
    return "\n".join([head, *lines, ""]).encode()


def judged(folder: Path, version: str = "1.0.0", skill: float = 2.0, **changes: Any) -> Path:
    """A package with an evaluation that has intervals, and predictions."""
    metrics = {f"auroc_{name}": {"value": 0.9, "low": 0.85, "high": 0.95, "n": FILMS} for name in CLASSES}
    mean = {"auroc_mean_reported": {"value": 0.9, "low": 0.88, "high": 0.92, "n": FILMS}}
    papers = {"evaluation/predictions.csv": predictions(skill, seed=int(version[0]))}
    return make_package(folder, version=version, **{"metrics": mean | metrics, "papers": papers, **changes})
