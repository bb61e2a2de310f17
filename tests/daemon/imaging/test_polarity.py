"""Inverted greys are told from pixels, on real films and on phantoms."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxrd.demo.samples import samples
from cxrd.imaging.decode import decode
from cxrd.imaging.polarity import agreement, is_inverted


def test_a_phantom_is_the_right_way_round_and_its_negative_is_not() -> None:
    """Whichever way its greys are stored: the header's word is applied first."""
    for data in samples("p", rows=256).values():
        pixels = decode(data).pixels
        assert agreement(pixels) > 0.7
        assert agreement(1 - pixels) == pytest.approx(-agreement(pixels), abs=1e-5)
        assert is_inverted(1 - pixels)


@pytest.mark.parametrize("kind", ["black", "noise", "ramp"])
def test_what_is_no_chest_is_not_turned_over(kind: str) -> None:
    """The greys of a picture that shows no chest tell nothing."""
    film = {
        "black": np.zeros((256, 256), np.float32),
        "noise": np.random.default_rng(0).random((256, 256), np.float32),
        "ramp": np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1)),
    }[kind]
    assert not is_inverted(film)


def test_real_films_of_the_test_split(films: Path) -> None:
    """Nothing was measured on them before: at least 95 % of inverted films are found, at most 1 % are accused."""
    folder = films / "cxr-open"
    with (folder / "labels.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "test"]
    found = []
    for row in rows:
        picture = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        film = (picture / 255).astype(np.float32)
        found.append((is_inverted(film), is_inverted(1 - film)))
    accused, inverted = np.mean(found, axis=0)
    assert len(rows) == 877
    assert accused <= 0.01
    assert inverted >= 0.95
