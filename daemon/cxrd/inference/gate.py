"""The arithmetic of a gated ensemble: who is asked again, and how two answers become one."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.inference.graph import Floats, Said
from cxrd.inference.manifest import GateSpec

_FLOOR = 1e-12  # of a probability before its logarithm


def join(
    first: Said, ask: Callable[[NDArray[np.bool_]], Said], gate: GateSpec, grid: tuple[int, int] | None
) -> tuple[Said, NDArray[np.bool_]]:
    """Ask the second graph about the films that the first is unsure of, and blend what both say.

    Parameters
    ----------
    first : Said
        Of N films.
    ask : callable
        Given the films (bool (N,), at least one) it returns what the second graph says of them, in order; called
        once, or never where the first graph is sure of every film.
    gate : GateSpec
        When to ask, and how much the first then counts.
    grid : (int, int) or None
        Rows and columns of the second graph's maps; None for a model that does not localise.

    Returns
    -------
    Said and bool (N,)
        Of all films in their order, maps on ``grid``; and the films that the second graph was asked about.
    """
    asked = unsure(first.probs, gate)
    logits, probs = first.logits.copy(), first.probs.copy()
    heat = None if first.heat is None or grid is None else shares(_on_grid(first.heat, grid))
    if asked.any():
        second = ask(asked)
        logits[asked], probs[asked] = blend(probs[asked], second.probs, gate)
        if heat is not None and second.heat is not None:
            heat[asked] = gate.weight * heat[asked] + (1 - gate.weight) * shares(second.heat)
    return Said(logits, probs, heat), asked


def unsure(probs: Floats, gate: GateSpec) -> NDArray[np.bool_]:
    """Films (N,) whose strongest class of ``probs`` (N, K), 0..1, stays below the gate."""
    return np.asarray(probs.max(axis=1) < np.float32(gate.threshold))


def blend(first: Floats, second: Floats, gate: GateSpec) -> tuple[Floats, Floats]:
    """Logits and probabilities (M, K) of films that both graphs judged, out of their probabilities (M, K), 0..1.

    The logits are natural logarithms: their softmax is the blend again.
    """
    probs = np.asarray(gate.weight * first + (1 - gate.weight) * second, np.float32)
    return np.log(np.maximum(probs, _FLOOR)), probs


def shares(heat: Floats) -> Floats:
    """Each map of (N, Kh, h, w), >= 0, divided by its sum; an empty one stays empty.

    The magnitudes of two graphs' maps have no common scale; where their evidence lies has.
    """
    total = heat.sum(axis=(2, 3), keepdims=True)
    return np.asarray(heat / np.where(total > 0, total, 1), np.float32)


def _on_grid(heat: Floats, grid: tuple[int, int]) -> Floats:
    """Maps (N, Kh, h, w) on another grid, linearly between the centres of cells."""
    rows, columns = grid
    films, maps = heat.shape[:2]
    each = [cv2.resize(m, (columns, rows), interpolation=cv2.INTER_LINEAR) for m in heat.reshape(-1, *heat.shape[2:])]
    return np.asarray(each, np.float32).reshape(films, maps, rows, columns)
