"""Outlines lie where the picture shows heat, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cxrd.findings import Box
from cxrd.imaging.evidence import contours, outline, region

ROWS, COLUMNS = 600, 420


def heat(*cells: tuple[int, int], size: int = 7) -> NDArray[np.float32]:
    """A map with some cells at their peak."""
    grid = np.zeros((size, size), np.float32)
    for cell in cells:
        grid[cell] = 1.0
    return grid


def filled(lines: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Pixels whose middle lies inside closed polylines, odd times: holes stay open."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    fine = [np.rint((line - 0.5) * 16).astype(np.int32) for line in lines]
    cv2.fillPoly(mask, fine, (1,), shift=4)
    return mask.astype(bool)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def test_a_lone_cell_is_outlined_where_it_lies() -> None:
    """Its middle is the middle of the outline, in pixels of the source."""
    (line,) = contours(heat((5, 1)), ROWS, COLUMNS)
    np.testing.assert_array_equal(line[0], line[-1])
    middle = (line.min(axis=0) + line.max(axis=0)) / 2
    np.testing.assert_allclose(middle, [1.5 / 7 * COLUMNS, 5.5 / 7 * ROWS], atol=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 14, 24]))
def test_outlines_and_region_are_the_same_place(seed: int, size: int) -> None:
    """What a presentation state draws is what a segmentation fills."""
    rough = np.random.default_rng(seed).random((5, 5)).astype(np.float32)
    grid = np.clip(cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC), 0, None)
    scaled: NDArray[np.float32] = np.asarray(grid / grid.max(), np.float32)
    assert overlap(filled(contours(scaled, ROWS, COLUMNS)), region(scaled, ROWS, COLUMNS)) > 0.93


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_point_lies_outside_the_film(seed: int) -> None:
    """A viewer may refuse the whole object for one that does (PS3.3 C.10.5)."""
    grid = np.random.default_rng(seed).random((14, 14)).astype(np.float32)
    for line in contours(grid, ROWS, COLUMNS):
        assert line.min() >= 0
        assert (line.max(axis=0) <= [COLUMNS, ROWS]).all()


def test_a_hole_has_an_outline_too() -> None:
    """The middle of a ring is no evidence."""
    ring = heat(*((r, c) for r in range(1, 6) for c in range(1, 6) if (r, c) != (3, 3)))
    outer, inner = contours(ring, ROWS, COLUMNS)
    assert np.ptp(outer[:, 0]) > np.ptp(inner[:, 0])
    assert not filled([outer, inner])[ROWS // 2, COLUMNS // 2]


def test_a_flat_map_has_none() -> None:
    """Nothing is nowhere."""
    assert [] == contours(np.zeros((7, 7), np.float32), ROWS, COLUMNS)
    assert not region(np.zeros((7, 7), np.float32), ROWS, COLUMNS).any()


@pytest.mark.parametrize("corner", [(0, 0), (6, 6), (0, 6)])
def test_evidence_at_an_edge_is_closed_along_it(corner: tuple[int, int]) -> None:
    """And covers the corner itself."""
    (line,) = contours(heat(corner), ROWS, COLUMNS)
    at = np.array([corner[1] / 6 * COLUMNS, corner[0] / 6 * ROWS])
    assert np.abs(line - at).max(axis=1).min() < 3


def test_a_box_is_kept_inside_its_film() -> None:
    """Closed, clipped, in column and row."""
    corners = outline(Box(left=-5, top=10, right=300, bottom=20), rows=100, columns=200)
    np.testing.assert_array_equal([[0, 10], [200, 10], [200, 20], [0, 20], [0, 10]], corners)
