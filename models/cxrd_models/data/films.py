"""Decodes every film once, through the same preprocessing as the daemon, and keeps it as 8 bit in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxrd.imaging.preprocess import Preprocess, apply
from cxrd_models.data.manifest import Film, Manifest
from cxrd_models.errors import DataError
from cxrd_models.recipe import PreprocessRecipe


def load_films(
    manifest: Manifest, preprocess: PreprocessRecipe, advance: Callable[[], object] = lambda: None
) -> NDArray[np.uint8]:
    """Every film of a manifest, [films, 1, H, W] uint8, 255 = white; ``advance`` is called after each.

    Raises
    ------
    DataError
        A file is missing or cannot be decoded; names the file and its row.
    """
    how = Preprocess.model_validate(preprocess.model_dump())
    films = np.empty((len(manifest.films), 1, preprocess.height, preprocess.width), np.uint8)
    for i, film in enumerate(manifest.films):
        pixels = apply(how, decode(manifest.folder, film))
        films[i] = np.rint(pixels * 255).astype(np.uint8)
        advance()
    return films


def decode(folder: Path, film: Film) -> NDArray[np.float32]:
    """One film, (rows, columns) float32 in 0..1.

    Raises
    ------
    DataError
        The file is missing or cannot be decoded.
    """
    try:
        with Image.open(folder / film.file) as image:
            grey = np.asarray(image.convert("L"), np.float32)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as fault:
        raise DataError(f"labels.csv row {film.row}: {film.file} cannot be read: {fault}") from fault
    return grey / np.float32(255)
