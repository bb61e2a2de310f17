"""Where the lungs are, by place and darkness: a hint for models that look at each side, never a finding.

Seed 001 thresholds the whole film and keeps the two largest inner parts; on real films more than half of the
masks were lost that way, because lungs touch the dark background at the film's border. Here a cell is lung by
its darkness *and* by its place (two ellipses, where lungs lie on a frontal film), weighed so on 198 films with
masks drawn by people; on 54 others the median Dice coefficient is in ``tests/daemon/imaging/test_lungs.py``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
_CLIP, _TILES = 2.0, (8, 8)
_BLUR = 9
_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_CENTRE, _RADIUS = (0.28, 0.45), (0.21, 0.36)  # of the left ellipse, across and down; the other is its mirror image
_AROUND = 1.6  # squared distance up to which darkness is compared
_PLACE, _GREY = 2.0, 40.0  # weight of the place; grey levels that weigh 1
_LEAST_LUNG = 0.02  # of the film
_LEAST_CONTRAST = 20.0  # grey levels between lungs and what lies around them


def lung_mask(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the lungs of a frontal film.

    Parameters
    ----------
    pixels : float32 (rows, columns)
        In 0..1, bone white.

    Returns
    -------
    float32 (rows, columns)
        1 in the lungs, else 0; all 0 where nothing looks like two lungs.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
    even = np.asarray(cv2.GaussianBlur(cv2.createCLAHE(_CLIP, _TILES).apply(grey), (_BLUR, _BLUR), 0), np.uint8)
    away = _distance()
    around = away < _AROUND
    level, _ = cv2.threshold(even[around].reshape(1, -1), 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    likely = (level - even.astype(np.float32)) / _GREY + _PLACE * (1 - away) > 0
    opened = cv2.morphologyEx(likely.astype(np.uint8), cv2.MORPH_OPEN, _KERNEL)
    shaped = np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _KERNEL), np.uint8)
    lungs = _largest_of_each_side(shaped)
    if not _plausible(lungs, even, around):
        lungs = np.zeros_like(lungs)
    rows, columns = pixels.shape
    return np.asarray(cv2.resize(lungs, (columns, rows), interpolation=cv2.INTER_NEAREST), np.float32)


def mask_on(grid: tuple[int, int], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lungs (rows, columns) of 0 and 1 on a model's grid: float32 (1, height, width) in 0..1, by area."""
    height, width = grid
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.float32)[np.newaxis]


def _distance() -> NDArray[np.float32]:
    """(256, 256) squared distance to the nearer ellipse's centre, 1 on its border."""
    place = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    down = ((place[:, None] - _CENTRE[1]) / _RADIUS[1]) ** 2
    across = ((np.minimum(place, 1 - place)[None] - _CENTRE[0]) / _RADIUS[0]) ** 2
    return np.asarray(down + across, np.float32)


def _largest_of_each_side(shaped: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lungs = np.zeros_like(shaped)
    for side in (np.s_[:, : SIDE // 2], np.s_[:, SIDE // 2 :]):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(shaped[side]), connectivity=4)
        if count > 1:
            lungs[side] = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return lungs


def _plausible(lungs: NDArray[np.uint8], even: NDArray[np.uint8], around: NDArray[np.bool_]) -> bool:
    """Whether both sides have a lung, darker than what lies around."""
    halves = lungs[:, : SIDE // 2], lungs[:, SIDE // 2 :]
    if min(int(half.sum()) for half in halves) < _LEAST_LUNG * SIDE**2:
        return False
    inside, outside = lungs > 0, around & (lungs == 0)
    return bool(outside.any()) and float(even[outside].mean()) - float(even[inside].mean()) >= _LEAST_CONTRAST
