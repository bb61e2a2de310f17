"""Lungs of every film, by the heuristic that the daemon applies too: a model never sees better masks in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cxrd.imaging.lungs import lung_mask, mask_on
from cxrd_models.data.films import decode
from cxrd_models.data.manifest import Manifest
from cxrd_models.recipe import PreprocessRecipe


def load_lungs(
    manifest: Manifest, preprocess: PreprocessRecipe, advance: Callable[[], object] = lambda: None
) -> NDArray[np.uint8]:
    """Lungs of every film, [films, 1, H, W] uint8, 255 = lung; all zero where the heuristic finds none.

    Raises
    ------
    DataError
        A film cannot be read.
    """
    lungs = np.empty((len(manifest.films), 1, preprocess.height, preprocess.width), np.uint8)
    grid = (preprocess.height, preprocess.width)
    for i, film in enumerate(manifest.films):
        lungs[i] = np.rint(mask_on(grid, lung_mask(decode(manifest.folder, film))) * 255)
        advance()
    return lungs
