"""Judges a package as the daemon will run it: its own engine, on films it has never seen."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cxrd.inference.engine import Classifier
from cxrd_models.data.augment import coarser
from cxrd_models.data.manifest import Manifest
from cxrd_models.evaluate.figures import figures
from cxrd_models.evaluate.package import RunGraph, score
from cxrd_models.export.judged import Judged
from cxrd_models.export.reporting import standings
from cxrd_models.recipe import Recipe

_BATCH = 16


def judge(
    classifier: Classifier,
    manifest: Manifest,
    films: NDArray[np.uint8],
    recipe: Recipe,
    threshold: tuple[float, ...],
    baseline: NDArray[np.float64] | None,
) -> Judged:
    """Score the test split as it is and, where the recipe names a side, reduced to the coarsest source.

    Parameters
    ----------
    films : array
        [films, C, H, W] uint8: the film and, for a model that takes them, its lungs.
    threshold : tuple of float
        K operating points.
    baseline : array or None
        [films, K] decision values of the frozen-feature baseline.
    """
    answer, standing = runner(classifier), standings(manifest, recipe.report)
    reported = tuple(s.class_id for s in standing if s.reported)
    scored = score(manifest, "test", films, answer, threshold=threshold, baseline=baseline)
    side = recipe.guard.coarsest_side
    leveled = None
    if side:
        soft = films.copy()
        soft[:, :1] = coarser(torch.from_numpy(films[:, :1]).float(), side).round().to(torch.uint8).numpy()
        same_detail = score(manifest, "test", soft, answer, threshold=threshold, baseline=None)
        leveled = figures("test", same_detail, reported, recipe.seed)
    return Judged(scored, figures("test", scored, reported, recipe.seed), leveled, standing)


def runner(classifier: Classifier) -> RunGraph:
    """Return a function of films [n, C, H, W] in 0..1 (the second channel is lungs) to (logits, probs)."""
    lungs = "mask" in classifier.manifest.inputs

    def run(films: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        parts = []
        for i in range(0, len(films), _BATCH):
            image = np.ascontiguousarray(films[i : i + _BATCH, :1])
            mask = np.ascontiguousarray(films[i : i + _BATCH, 1:])
            parts.append(classifier.run(image, mask) if lungs else classifier.run(image))
        return [np.concatenate([p.logits for p in parts]), np.concatenate([p.probs for p in parts])]

    return run
