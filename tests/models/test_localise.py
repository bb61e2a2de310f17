"""Boxes and maps on cases that can be done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cxrd.findings import Box
from cxrd_models.evaluate import localise

UNIT = Box(left=0, top=0, right=10, bottom=10)
FAR = Box(left=20, top=20, right=30, bottom=30)
HALF = Box(left=5, top=0, right=15, bottom=10)


def test_overlap_by_hand() -> None:
    """Two squares far apart, half over each other, and one in the other."""
    assert pytest.approx(-7 / 9) == localise.giou(UNIT, FAR)
    assert localise.iou(UNIT, FAR) == 0
    assert pytest.approx(1 / 3) == localise.iou(UNIT, HALF) == localise.giou(UNIT, HALF)
    assert localise.iou(UNIT, UNIT) == localise.giou(UNIT, UNIT) == 1
    inner = Box(left=2, top=2, right=4, bottom=4)
    assert localise.iobb(inner, UNIT) == 1
    assert pytest.approx(0.04) == localise.iobb(UNIT, inner)


def test_distances_by_hand() -> None:
    """Corners see only corners; the outline of a small box is near the outline around it."""
    assert pytest.approx(np.hypot(20, 20)) == localise.hausdorff_corners(UNIT, FAR)
    assert pytest.approx(5) == localise.hausdorff_contour(UNIT, HALF)
    assert pytest.approx(5) == localise.hausdorff_corners(UNIT, HALF)
    assert pytest.approx(50) == localise.boundary_distance_corners(UNIT, HALF, 10.0)
    middle = Box(left=4, top=4, right=6, bottom=6)
    assert pytest.approx(np.hypot(4, 4)) == localise.hausdorff_contour(middle, UNIT)
    long = Box(left=0, top=0, right=100, bottom=2)
    short = Box(left=0, top=0, right=50, bottom=2)
    assert pytest.approx(50) == localise.hausdorff_contour(long, short)
    assert localise.boundary_distance_contour(UNIT, UNIT, 1.0) == 0
    # left edge 5 away, right edge inside (nearest edge, 2.5 on average), flat edges touching for half their length
    by_hand = (10 * 5 + 10 * 2.5 + 2 * 5 * 2.5) / 40
    assert pytest.approx(by_hand, rel=0.01) == localise.boundary_distance_contour(UNIT, HALF, 100.0)


def test_a_peak_points_into_a_box_or_not() -> None:
    """The centre of the hottest cell decides; a flat map points nowhere."""
    grid = np.zeros((4, 4), np.float32)
    grid[1, 2] = 1
    inside = Box(left=200, top=100, right=300, bottom=200)
    assert localise.points_inside(grid, (FAR, inside), 400, 400)
    assert not localise.points_inside(grid, (FAR,), 400, 400)
    assert not localise.points_inside(np.ones((4, 4), np.float32), (inside,), 400, 400)


def test_heat_inside_a_mask_is_a_share() -> None:
    """Half of the heat left, half right; a cell that the mask cuts in two counts half."""
    grid = np.ones((2, 2), np.float32)
    mask = np.zeros((8, 8), np.bool_)
    mask[:, :4] = True
    assert localise.energy_inside(grid, mask) == pytest.approx(0.5)
    mask[:, :6] = True
    assert localise.energy_inside(grid, mask) == pytest.approx(0.75)
    assert np.isnan(localise.energy_inside(np.zeros((2, 2), np.float32), mask))


def test_a_random_map_is_the_same_for_the_same_seed() -> None:
    """A control that changes from run to run would control nothing."""
    first, again, other = (localise.random_map((14, 14), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert float(first.min()) == 0.0
    assert float(first.max()) == pytest.approx(1.0)
