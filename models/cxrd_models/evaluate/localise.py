"""How well a box or a map shows the place: geometry on rectangles and grids, nothing read or written.

Boxes are column/row edges (`cxrd.findings.Box`), so a box of 10 pixels has an area of 10, not 11. The seed
models were judged by corners alone; a contour says more, so both are here under their own names.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box

IOU_STEPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Overlaps at which a localisation counts as right (Wang et al. 2017, ChestX-ray8, table 4)."""

_POINTS = 256  # along each edge: a 512-pixel edge is sampled every second pixel
_BLUR = 1 / 7  # of the grid: a random map as coarse as real ones, else its warm cells would not touch

Floats = NDArray[np.float64]
Grid = NDArray[np.float32]


def area(box: Box) -> float:
    """Pixels inside; 0 for a box whose edges cross."""
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def intersection(a: Box, b: Box) -> float:
    """Pixels in both boxes."""
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0.0, across) * max(0.0, down)


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0..1."""
    both = intersection(a, b)
    union = area(a) + area(b) - both
    return both / union if union > 0 else 0.0


def iobb(predicted: Box, true: Box) -> float:
    """Part of the *predicted* box that lies in the true one, 0..1 (Wang et al. 2017, "IoBB")."""
    return intersection(predicted, true) / area(predicted) if area(predicted) > 0 else 0.0


def giou(a: Box, b: Box) -> float:
    """IoU - (C - U) / C with C the smallest box around both, -1..1 (Rezatofighi et al. 2019)."""
    around = Box(
        left=min(a.left, b.left),
        top=min(a.top, b.top),
        right=max(a.right, b.right),
        bottom=max(a.bottom, b.bottom),
    )
    hull, union = area(around), area(a) + area(b) - intersection(a, b)
    return iou(a, b) - (hull - union) / hull if hull > 0 else 0.0


def hausdorff_corners(a: Box, b: Box) -> float:
    """Hausdorff distance of the two sets of four corners, pixels: the seed's definition."""
    apart = np.linalg.norm(_corners(a)[:, None] - _corners(b)[None], axis=2)
    return float(max(apart.min(axis=1).max(), apart.min(axis=0).max()))


def hausdorff_contour(a: Box, b: Box) -> float:
    """Hausdorff distance of the two outlines, pixels."""
    return float(max(_to_outline(_outline(a), b).max(), _to_outline(_outline(b), a).max()))


def boundary_distance_corners(predicted: Box, true: Box, diagonal: float) -> float:
    """Mean distance from a predicted corner to the nearest true one, % of the film's diagonal: the seed's."""
    apart = np.linalg.norm(_corners(predicted)[:, None] - _corners(true)[None], axis=2)
    return float(apart.min(axis=1).mean() / diagonal * 100)


def boundary_distance_contour(a: Box, b: Box, diagonal: float) -> float:
    """Mean distance between the outlines, both ways, weighted by length, % of the film's diagonal."""
    there, back = _to_outline(_outline(a), b), _to_outline(_outline(b), a)
    far, long = np.concatenate([there, back]), np.concatenate([_weights(a), _weights(b)])
    return float(np.average(far, weights=long) / diagonal * 100) if long.sum() > 0 else float(far.mean())


def points_inside(grid: Grid, boxes: tuple[Box, ...], rows: int, columns: int) -> bool:
    """Pointing game: whether the map's peak lies in any of the boxes (Zhang et al. 2016, without tolerance).

    Parameters
    ----------
    grid : float32 (h, w)
        Map over the whole film of ``rows`` x ``columns``; a flat map points nowhere.
    """
    if not float(grid.max(initial=0.0)) > float(grid.min(initial=0.0)):
        return False
    down, across = np.unravel_index(int(np.argmax(grid)), grid.shape)
    x, y = (across + 0.5) * columns / grid.shape[1], (down + 0.5) * rows / grid.shape[0]
    return any(b.left <= x < b.right and b.top <= y < b.bottom for b in boxes)


def energy_inside(grid: Grid, mask: NDArray[np.bool_]) -> float:
    """Share of a map's heat that lies inside a mask, 0..1; NaN for a map without heat.

    Parameters
    ----------
    grid : float32 (h, w)
        Map, >= 0.
    mask : bool (rows, columns)
        Over the same film at any resolution; cells on its edge count in part.
    """
    height, width = grid.shape
    part = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    total = float(grid.sum(dtype=np.float64))
    return float((grid.astype(np.float64) * part).sum() / total) if total > 0 else float("nan")


def random_map(shape: tuple[int, int], random: np.random.Generator) -> Grid:
    """Blurred noise in 0..1, half of it 0: what a map that knows nothing of the film would look like."""
    sigma = max(shape) * _BLUR
    noise = cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    warm = np.maximum(noise - np.median(noise), 0)  # real maps are cold in most places, and give small boxes
    return np.asarray(warm / max(float(warm.max()), 1e-12), np.float32)


def _corners(box: Box) -> Floats:
    """[4, 2] x and y."""
    return np.array([(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)], np.float64)


def _outline(box: Box) -> Floats:
    """[4 * points, 2] along the edges, corners included."""
    step = np.linspace(0, 1, _POINTS)
    x, y = box.left + step * (box.right - box.left), box.top + step * (box.bottom - box.top)
    sides = (
        (x, np.full_like(x, box.top)),
        (x, np.full_like(x, box.bottom)),
        (np.full_like(y, box.left), y),
        (np.full_like(y, box.right), y),
    )
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _weights(box: Box) -> Floats:
    """Length that each point of `_outline` stands for."""
    across, down = (box.right - box.left) / _POINTS, (box.bottom - box.top) / _POINTS
    return np.repeat([across, across, down, down], _POINTS)


def _to_outline(points: Floats, box: Box) -> Floats:
    """Exact distance of each point [n, 2] to a rectangle's edges."""
    x, y = points[:, 0], points[:, 1]
    beyond_x, beyond_y = np.maximum(box.left - x, x - box.right), np.maximum(box.top - y, y - box.bottom)
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    return np.where((beyond_x < 0) & (beyond_y < 0), -np.maximum(beyond_x, beyond_y), outside)
