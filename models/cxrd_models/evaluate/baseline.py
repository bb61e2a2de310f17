"""The bar to clear: logistic regression on pooled features of the untrained (published) backbone."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cxrd_models.evaluate.scores import auroc
from cxrd_models.zoo.contract import ChestClassifier

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_BATCH = 32


class Baseline(NamedTuple):
    """Scores of the frozen-feature classifier.

    Attributes
    ----------
    scores : array
        [films, K] decision values; 0 for a class with fewer than two positive training films.
    strength : float
        Inverse regularisation chosen on the validation split.
    """

    scores: NDArray[np.float64]
    strength: float


@torch.inference_mode()
def pooled_features(model: ChestClassifier, image: torch.Tensor) -> NDArray[np.float32]:
    """[films, D] float32 of films [films, 1, H, W] uint8."""
    return np.concatenate([model.pooled(part.float() / 255).cpu().numpy() for part in torch.split(image, _BATCH)])


def frozen_baseline(
    features: NDArray[np.float32],
    target: NDArray[np.float32],
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    min_val: int,
) -> Baseline:
    """Fit one regression per class on ``train``; the strength is the best mean AUROC on ``val``."""
    scaled = StandardScaler().fit(features[train]).transform(features)
    judged = target[val].sum(axis=0) >= max(min_val, 1)
    best: tuple[float, Baseline] | None = None
    for strength in _STRENGTHS:
        scores = np.stack([_fit(scaled, target[:, k], train, strength) for k in range(target.shape[1])], axis=1)
        areas = [float(auroc(target[val, k], scores[val, k])[0]) for k in np.flatnonzero(judged)]
        mean = float(np.mean(areas)) if areas else 0.0
        if best is None or mean > best[0]:
            best = mean, Baseline(scores, strength)
    assert best is not None  # noqa: S101 - there is at least one strength
    return best[1]


def _fit(
    scaled: NDArray[np.float64], target: NDArray[np.float32], train: NDArray[np.int64], strength: float
) -> NDArray[np.float64]:
    if target[train].sum() < 2:
        return np.zeros(len(scaled))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that needs more steps is still a fair bar
        model = LogisticRegression(C=strength, max_iter=1000).fit(scaled[train], target[train])
    return np.asarray(model.decision_function(scaled), np.float64)
