"""Probabilities and operating points, fitted on the validation split and frozen into the graph.

Classes for themselves get Platt scaling each; classes that exclude each other one temperature and a bias
each, so that their probabilities still sum to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from cxrd.findings import Value

_RIDGE = 4.0  # prior strength on log(slope); few positives then stay near the common slope
_SHRINK = 20.0  # positives at which a threshold trusts the ROC curve and the prevalence alike
_NEWTON_STEPS = 50

Floats = NDArray[np.float64]


class Calibration(Value):
    """``p = activation(slope * logit + bias)``, and the operating points.

    Attributes
    ----------
    exclusive : bool
        The activation: softmax over the classes, else a sigmoid of each.
    slope : tuple of float
        K, > 0, so that the order of films stays; all alike where the classes exclude each other.
    threshold : tuple of float
        K, on the calibrated probability.
    """

    exclusive: bool = False
    slope: tuple[float, ...]
    bias: tuple[float, ...]
    threshold: tuple[float, ...]

    def apply(self, logits: NDArray[np.floating]) -> Floats:
        """Probabilities [N, K] of logits [N, K]."""
        scaled = np.asarray(logits, np.float64) * np.array(self.slope) + np.array(self.bias)
        return np.asarray(softmax(scaled, axis=1)) if self.exclusive else sigmoid(scaled)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def calibrate(
    logits: NDArray[np.floating], target: NDArray[np.floating], known: NDArray[np.floating], *, exclusive: bool
) -> Calibration:
    """Fit scaling and thresholds on validation films.

    Parameters
    ----------
    logits, target, known : array
        [n, K]; only films where ``known`` is 1 speak for a class.
    exclusive : bool
        Exactly one class is true of each film, ``target`` is one-hot.
    """
    x, y, use = (np.asarray(a, np.float64) for a in (logits, target, known > 0))
    if exclusive:
        return _calibrate_exclusive(x, y, use)
    common = _platt_common(x, y, use)
    slopes, biases, thresholds = [], [], []
    for k in range(x.shape[1]):
        here = use[:, k] > 0
        slope, bias = _platt(x[here, k], y[here, k], common)
        slopes.append(slope)
        biases.append(bias)
        thresholds.append(_threshold(sigmoid(slope * x[here, k] + bias), y[here, k]))
    return Calibration(slope=tuple(slopes), bias=tuple(biases), threshold=tuple(thresholds))


def operating_points(
    probability: Floats, target: NDArray[np.floating], known: NDArray[np.floating]
) -> tuple[float, ...]:
    """Threshold of each class on calibrated probabilities [n, K] of validation films."""
    use = known > 0
    y = np.asarray(target, np.float64)
    return tuple(_threshold(probability[use[:, k], k], y[use[:, k], k]) for k in range(probability.shape[1]))


def _calibrate_exclusive(x: Floats, y: Floats, use: Floats) -> Calibration:
    """Temperature and biases of least cross-entropy, both drawn towards "leave the logits alone".

    As in the loss, a film of which one class is unknown says nothing of a sum over all.
    """
    classes = x.shape[1]
    whole = use.min(axis=1) > 0
    told, truth = x[whole], y[whole]

    def cost(free: Floats) -> tuple[float, Floats]:
        slope, bias = np.exp(free[0]), free[1:]
        z = slope * told + bias
        p = softmax(z, axis=1)
        loss = float(np.sum(logsumexp(z, axis=1) - np.sum(truth * z, axis=1))) + _RIDGE / 2 * float(free @ free)
        slip = p - truth
        return loss, np.r_[np.sum(slip * told) * slope, slip.sum(axis=0)] + _RIDGE * free

    free = np.asarray(minimize(cost, np.zeros(1 + classes), jac=True, method="L-BFGS-B").x, np.float64)
    slope, bias = float(np.exp(free[0])), free[1:] - free[1:].mean()
    return Calibration(
        exclusive=True,
        slope=(slope,) * classes,
        bias=tuple(float(b) for b in bias),
        threshold=operating_points(np.asarray(softmax(slope * x + bias, axis=1)), y, use),
    )


def _platt_common(x: Floats, y: Floats, use: Floats) -> float:
    """Log of the slope that serves all classes best, each with its own bias (golden-section search)."""
    grid = np.linspace(-2.5, 2.5, 41)
    cost = [
        sum(_platt_loss(x[u, k], y[u, k], g) for k in range(x.shape[1]) if (u := use[:, k] > 0).any()) for g in grid
    ]
    return float(grid[int(np.argmin(cost))])


def _platt_loss(x: Floats, y: Floats, log_slope: float) -> float:
    bias = _bias(np.exp(log_slope) * x, y)
    z = np.exp(log_slope) * x + bias
    return float(np.sum(np.logaddexp(0, z) - y * z))


def _bias(z: Floats, y: Floats) -> float:
    """Bias that makes the mean probability the (Laplace-smoothed) prevalence, by Newton's method."""
    wanted = (y.sum() + 0.5) / (len(y) + 1)
    bias = float(np.log(wanted / (1 - wanted)) - np.median(z))
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(z + bias)
        bias -= float(np.clip((p.mean() - wanted) / max(float((p * (1 - p)).mean()), 1e-6), -1, 1))
    return bias


def _platt(x: Floats, y: Floats, common: float) -> tuple[float, float]:
    if not len(y):
        return float(np.exp(common)), 0.0
    grid = common + np.linspace(-1.5, 1.5, 61)
    cost = [_platt_loss(x, y, g) + _RIDGE / 2 * (g - common) ** 2 for g in grid]
    slope = float(np.exp(grid[int(np.argmin(cost))]))
    return slope, _bias(slope * x, y)


def _threshold(p: Floats, y: Floats) -> float:
    """Youden's point, drawn towards the prevalence in log-odds when positives are few.

    For calibrated probabilities the prevalence *is* Youden's point, so it is the prior of choice.
    """
    positives = float(y.sum())
    prior = (positives + 0.5) / (len(y) + 1) if len(y) else 0.5
    if not 0 < positives < len(y):
        return float(prior)
    cuts, value = np.unique(p, return_inverse=True)
    middles = np.r_[cuts[0], (cuts[1:] + cuts[:-1]) / 2]
    hits, alarms = (np.bincount(value, side, len(cuts))[::-1].cumsum()[::-1] for side in (y, 1 - y))
    youden = middles[int(np.argmax(hits / positives - alarms / (len(y) - positives)))]
    trust = positives / (positives + _SHRINK)
    odds = trust * _logit(float(youden)) + (1 - trust) * _logit(prior)
    return float(sigmoid(np.array(odds)))


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return float(np.log(p / (1 - p)))
