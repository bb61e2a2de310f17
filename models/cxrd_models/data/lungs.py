"""Lungs of every film: what a model is given beside the film, or what it shall learn to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxrd.imaging.lungs import lung_mask, mask_on
from cxrd_models.data.films import Plane, decode, of_each
from cxrd_models.data.manifest import Film, Manifest
from cxrd_models.errors import DataError
from cxrd_models.recipe import PreprocessRecipe

_ASPECT = 0.01  # a resized copy may be a pixel off


def load_lungs(
    manifest: Manifest,
    preprocess: PreprocessRecipe,
    advance: Callable[[], object] = lambda: None,
    cache: Path | None = None,
    *,
    drawn: bool = False,
) -> NDArray[np.uint8]:
    """Lungs of every film, [films, 1, H, W] uint8, 255 = lung; all zero where none are found.

    Parameters
    ----------
    drawn : bool
        Take the picture that column ``lung_mask`` names, where there is one: for a model that learns to find the
        lungs. Else the heuristic that the daemon applies too: a model that is given lungs must not see better
        ones in training than in service.

    Raises
    ------
    DataError
        A film or a mask cannot be read, or a mask is not of its film's size.
    """
    grid = (preprocess.height, preprocess.width)

    def make(film: Film) -> Plane:
        pixels = decode(manifest.folder, film)
        if drawn and film.mask:
            return mask_on(grid, _fitting(read_mask(manifest.folder, film), film, pixels.shape))
        return mask_on(grid, lung_mask(pixels))

    return of_each(manifest, preprocess, "drawn-lungs" if drawn else "lungs", make, advance, cache)


def read_mask(folder: Path, film: Film) -> NDArray[np.bool_]:
    """Drawn lungs of a film, bool (rows, columns) at the picture's own resolution.

    Raises
    ------
    DataError
        The picture is missing or cannot be decoded.
    """
    try:
        with Image.open(folder / film.mask) as image:
            return np.asarray(image.convert("L")) > 0
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as fault:
        raise DataError(f"labels.csv row {film.row}: lung mask {film.mask} cannot be read: {fault}") from fault


def _fitting(mask: NDArray[np.bool_], film: Film, size: tuple[int, ...]) -> Plane:
    """Return the mask as float32; a mask of another aspect belongs to another film."""
    if abs(mask.shape[0] * size[1] / (mask.shape[1] * size[0]) - 1) > _ASPECT:
        said = "{1} x {0} pixels".format(*mask.shape)
        raise DataError(
            f"labels.csv row {film.row}: lung mask {film.mask} is {said}, but {film.file} is {size[1]} x {size[0]}",
            hint="a mask covers the same part of the patient as its film; give the right one, or leave the cell empty",
        )
    return mask.astype(np.float32)
