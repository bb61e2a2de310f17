"""Whether the greys of a frontal film are the right way round, told from its pixels alone.

Lungs are dark and lie left and right; spine, heart and belly are bright and lie in the middle and below. An 8 x 8
picture of that, the mean of 4,708 training films of five collections, is compared with the film; an inverted film
correlates with it as strongly as an upright one, with the other sign. Of 6,549 real films, children and adults, none
is called inverted; of their inverted copies all but seven are found (docs/explanation/admission.md).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8
LEFT_HALF = (
    (-24, -18, -10, 5),
    (-9, -1, -4, 3),
    (-7, 0, -11, 4),
    (-9, -1, -10, 9),
    (-12, -2, -3, 15),
    (-14, -1, 5, 19),
    (-15, 6, 16, 23),
    (-15, 13, 22, 25),
)
"""The mean film, in hundredths; the other half is its mirror image."""

INVERTED = -0.2
"""Correlation at and below which a film is called inverted."""


def _template() -> NDArray[np.float32]:
    half = np.array(LEFT_HALF, np.float32)
    whole = np.hstack([half, half[:, ::-1]]).ravel()
    return np.asarray((whole - whole.mean()) / np.linalg.norm(whole - whole.mean()), np.float32)


_TEMPLATE = _template()


def agreement(pixels: NDArray[np.float32]) -> float:
    """Correlation of a film with the mean frontal film.

    Parameters
    ----------
    pixels : float32 (rows, columns)
        In 0..1, as the header's word shows it.

    Returns
    -------
    float
        -1 to 1: near 0.8 for a frontal film, near -0.8 for an inverted one, 0 for a film of one grey.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    return float(centred @ _TEMPLATE) / length if length > 0 else 0.0


def is_inverted(pixels: NDArray[np.float32]) -> bool:
    """Whether a film (rows, columns) in 0..1 shows what is bright dark, and what is dark bright."""
    return agreement(pixels) <= INVERTED
