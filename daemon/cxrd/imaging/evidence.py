"""From a heat's grid to places on the source film: the same interpolation as the picture's, so that both coincide."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box

HALF_PEAK = 0.5
"""Part of a heat's peak above which a cell belongs to the region of evidence."""

STEPS = 32
"""Parts that a grid cell is divided into before its outline is traced."""

SIMPLER_BY = 0.6
"""Largest distance, in such parts, that an outline is moved to need fewer points."""

SMALLEST = 0.001
"""Part of the film below which a region is a speck of interpolation and gets no outline."""


def contours(heat: NDArray[np.float32], rows: int, columns: int) -> list[NDArray[np.float32]]:
    """Outlines of the evidence above half of its peak.

    Parameters
    ----------
    heat : float32 (gh, gw)
        Map in 0..1 of its own peak, over the whole film.
    rows, columns : int
        Source matrix.

    Returns
    -------
    list of float32 (n, 2)
        Closed polylines (first point repeated at the end) of column and row, 0-based edges, inside 0..columns and
        0..rows: the units of GSPS (PS3.3 C.10.5) and of SCOORD (C.18.6) alike. Largest region first; holes too.
    """
    height, width = (side * STEPS for side in heat.shape)
    warm = _fine(heat, height, width).astype(np.uint8)
    found, _ = cv2.findContours(warm, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    large = [line for line in found if cv2.contourArea(line) >= SMALLEST * width * height]
    scale = np.array([columns / width, rows / height])
    made = []
    for line in sorted(large, key=cv2.contourArea, reverse=True):
        corners = cv2.approxPolyDP(line, SIMPLER_BY, closed=True)[:, 0, :].astype(np.float64)
        placed = ((corners + 0.5) * scale).astype(np.float32)  # a traced point is the middle of its part
        made.append(np.concatenate([placed, placed[:1]]))
    return made


def outline(box: Box, rows: int, columns: int) -> NDArray[np.float64]:
    """Closed rectangle as (5, 2) column and row pairs inside the source matrix, in the same units."""
    left, right = (round(min(max(x, 0.0), float(columns)), 2) for x in (box.left, box.right))
    top, bottom = (round(min(max(y, 0.0), float(rows)), 2) for y in (box.top, box.bottom))
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)


def region(heat: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.bool_]:
    """Source pixels whose evidence reaches half of its peak, bool (rows, columns); ``heat`` as in :func:`contours`."""
    return _fine(heat, rows, columns)


def _fine(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR) >= HALF_PEAK)
