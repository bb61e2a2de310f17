"""Heat over a film, by tables, against the same in numbers of full precision."""

from __future__ import annotations

import cv2
import numpy as np

from cxrd.imaging.overlay import STRONGEST, TRANSPARENT_BELOW, blend, colours, layer


def test_a_heat_is_mixed_with_the_film_by_its_opacity() -> None:
    """Within two grey levels; a film without heat, and where there is little, stays as it is."""
    random = np.random.default_rng(0)
    film, heat = random.integers(0, 256, (130, 97), np.uint8), random.random((7, 5), np.float32)
    fine = np.clip(cv2.resize(heat, (97, 130), interpolation=cv2.INTER_LINEAR), 0, 1)[:, :, np.newaxis]
    opacity = np.clip((fine - TRANSPARENT_BELOW) / (1 - TRANSPARENT_BELOW), 0, 1)
    colour = colours()[np.rint(fine[:, :, 0] * 255).astype(int)]
    grey = film[:, :, np.newaxis].astype(float)
    expected = grey * (1 - STRONGEST * opacity) + colour * STRONGEST * opacity
    assert np.abs(blend(film, heat) - expected).max() <= 2
    alone = np.dstack([colour, np.rint(255 * opacity)])
    assert np.abs(layer(heat, film.shape).astype(float) - alone).max() <= 1
    clear = fine[:, :, 0] < TRANSPARENT_BELOW - 1 / 255
    assert clear.any()
    assert np.array_equal(blend(film, heat)[clear], np.repeat(grey[clear], 3, axis=1))
    assert np.array_equal(blend(film, None), np.repeat(grey, 3, axis=2))
