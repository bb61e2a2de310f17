"""From a display-ready film to a model's input: one implementation, for training and for serving.

Films are stretched to the model's grid rather than padded: models learn from films of every aspect ratio, and
a stretched grid maps back to the film by two scale factors.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value

CLAHE_CLIP = 2.0
CLAHE_TILES = (8, 8)


class Preprocess(Value):
    """Which preprocessing a model was trained with; stored in its package and enforced by the daemon.

    Attributes
    ----------
    id : {"plain", "dicom_clahe"}
        ``plain``: resize by area, and linearly along an axis that is enlarged. ``dicom_clahe``: contrast-limited
        equalisation at native size (clip 2.0, 8 x 8 tiles, after seed 003), then bilinear resize.
    height, width : int
        Pixels of the model's input.
    """

    id: Literal["plain", "dicom_clahe"]
    height: int
    width: int


def apply(preprocess: Preprocess, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make a model's input.

    Parameters
    ----------
    preprocess : Preprocess
        What to do.
    pixels : float32 (rows, columns)
        Film in 0..1, bone white, not mirrored.

    Returns
    -------
    float32 (1, height, width)
        In 0..1.
    """
    size = (preprocess.width, preprocess.height)
    match preprocess.id:
        case "plain":
            rows, columns = pixels.shape
            least = (min(columns, size[0]), min(rows, size[1]))
            shrunk = cv2.resize(pixels, least, interpolation=cv2.INTER_AREA)
            resized = shrunk if least == size else cv2.resize(shrunk, size, interpolation=cv2.INTER_LINEAR)
        case "dicom_clahe":
            equalised = cv2.createCLAHE(CLAHE_CLIP, CLAHE_TILES).apply(_stretched(pixels))
            resized = cv2.resize(equalised, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / np.float32(255)
    return np.asarray(np.clip(resized, 0.0, 1.0), np.float32)[np.newaxis]


def _stretched(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """8-bit film over its own range; a film of one value becomes black."""
    low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    return np.asarray(np.rint((pixels - low) * (255.0 / (high - low))), np.uint8)


def display(pixels: NDArray[np.float32], longer_side: int) -> NDArray[np.uint8]:
    """8-bit preview of a film, uint8 (h, w), its longer side at most ``longer_side`` pixels."""
    rows, columns = pixels.shape
    scale = min(1.0, longer_side / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    return np.asarray(np.rint(np.clip(small, 0.0, 1.0) * 255), np.uint8)
