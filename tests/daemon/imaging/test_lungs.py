"""The lung hint: right on a plain picture and on real masks, silent where there are no lungs."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cxrd.imaging.lungs import lung_mask

FILMS = Path(__file__).resolve().parents[4] / "shared" / "data" / "cxr-open"


def two_ellipses(rows: int, columns: int) -> NDArray[np.uint8]:
    """Lungs as a child draws them."""
    lungs = np.zeros((rows, columns), np.uint8)
    for x in (0.28, 0.72):
        cv2.ellipse(
            lungs, (round(x * columns), round(0.45 * rows)), (columns // 6, rows // 3), 0, 0, 360, 1, thickness=-1
        )
    return lungs


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap, 0..1."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_dark_ellipses_are_lungs() -> None:
    """Of any shape of film, in the film's own matrix."""
    truth = two_ellipses(300, 260)
    film = np.where(truth > 0, 0.2, 0.8).astype(np.float32)
    found = lung_mask(film)
    assert found.shape == film.shape
    assert set(np.unique(found)) == {0, 1}
    assert dice(found > 0, truth > 0) > 0.9


@pytest.mark.parametrize("kind", ["black", "white", "noise", "one lung"])
def test_what_shows_no_two_lungs_has_none(kind: str) -> None:
    """A wrong mask would part the film at a wrong place."""
    truth = two_ellipses(256, 256)
    if kind == "one lung":
        truth[:, 128:] = 0
        film = np.where(truth > 0, 0.1, 0.9) + 0.5 * (np.arange(256) >= 128)
    else:
        film = {
            "black": np.zeros((256, 256)),
            "white": np.ones((256, 256)),
            "noise": np.random.default_rng(0).random((256, 256)),
        }[kind]
    assert not lung_mask(np.clip(film, 0, 1).astype(np.float32)).any()


@pytest.mark.skipif(not FILMS.is_dir(), reason="needs shared/data, which a user's clone does not have")
def test_masks_drawn_by_people_are_met() -> None:
    """On films that nothing was tuned on; half of them show lungs that disease has made white."""
    with (FILMS / "labels.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["lung_mask"] and row["split"] == "val"]
    scores = []
    for row in rows:
        film = cv2.imread(str(FILMS / row["file"]), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(FILMS / row["lung_mask"]), cv2.IMREAD_GRAYSCALE)
        assert film is not None
        assert truth is not None
        found = lung_mask((film / 255).astype(np.float32))
        truth = cv2.resize(truth, (film.shape[1], film.shape[0]), interpolation=cv2.INTER_NEAREST)
        if found.any():
            scores.append(dice(found > 0, truth > 127))
    assert len(rows) == 54
    assert len(scores) >= 0.9 * len(rows)
    assert np.median(scores) > 0.75
