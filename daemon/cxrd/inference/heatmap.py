"""From a raw map on a model's grid to a heat and a box on the source film: pure geometry."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box, FilmRef

FINE = 16
"""Steps that a grid cell is divided into before the box is drawn; nobody could see finer ones."""


LARGEST_SHARE = 0.5
"""Part of the film above which a box tells nobody where to look, and is not given."""


def in_film_orientation(grid: NDArray[np.float32], film: FilmRef) -> NDArray[np.float32]:
    """Turn a map of shape (h, w) as the reader's film is turned: models never see mirrored films."""
    return np.ascontiguousarray(grid[:, ::-1]) if film.mirrored else grid


def box_on_film(grid: NDArray[np.float32], film: FilmRef, *, threshold: float, min_peak: float) -> Box | None:
    """Rectangle around the largest connected region of a map above ``threshold`` of its peak.

    Parameters
    ----------
    grid : float32 (h, w)
        Raw map, >= 0, in the film's own orientation.
    film : FilmRef
        Gives the source matrix.
    threshold : float
        Part of the interpolated map's peak, 0..1, exclusive.
    min_peak : float
        Raw value; a map that never exceeds it localises nothing.

    Returns
    -------
    Box or None
        In source pixel edges, inside the film; None when the map localises nothing: it is flat, or its warm region
        would box more than half of the film.
    """
    if float(grid.max(initial=0.0)) <= max(min_peak, 0.0):
        return None
    height, width = (side * FINE for side in grid.shape)
    fine = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    warm = (fine > threshold * fine.max()).astype(np.uint8)  # its own peak: a lone cell loses height between cells
    _, _, stats, _ = cv2.connectedComponentsWithStats(warm, connectivity=4)  # row 0 is the background
    left, top, across, down, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
    if across * down > LARGEST_SHARE * width * height:
        return None
    sx, sy = film.columns / width, film.rows / height
    return Box(left=left * sx, top=top * sy, right=(left + across) * sx, bottom=(top + down) * sy)
