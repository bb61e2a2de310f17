"""Heat and boxes over a film: pure drawing on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box

TRANSPARENT_BELOW = 0.4
"""Part of the peak under which heat is not drawn, so that anatomy stays readable."""

STRONGEST = 0.55
"""Opacity of the peak."""

OUTLINE = (255, 214, 64)
Rgb = NDArray[np.uint8]


def colours() -> Rgb:
    """Colour scale of heat, uint8 (256, 3) RGB: dark violet over red to pale yellow, monotone in lightness."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[0, :, ::-1])


def blend(preview: NDArray[np.uint8], heat: NDArray[np.float32] | None) -> Rgb:
    """Lay a heat over a film.

    Parameters
    ----------
    preview : uint8 (h, w)
        Film, bone white.
    heat : float32 (gh, gw) or None
        Map in 0..1 of its own peak, over the whole film; None leaves the film as it is.

    Returns
    -------
    uint8 (h, w, 3)
        RGB.
    """
    film = np.repeat(preview[:, :, np.newaxis], 3, axis=2)
    if heat is None:
        return film
    height, width = preview.shape
    fine = np.clip(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    alpha = np.clip((fine - TRANSPARENT_BELOW) / (1 - TRANSPARENT_BELOW), 0.0, 1.0) * STRONGEST
    painted = colours()[np.rint(fine * 255).astype(np.uint8)]
    mixed = film * (1 - alpha[:, :, np.newaxis]) + painted * alpha[:, :, np.newaxis]
    return np.asarray(np.rint(mixed), np.uint8)


def layer(heat: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Heat alone, to be laid over a film by somebody else.

    Parameters
    ----------
    heat : float32 (gh, gw)
        Map in 0..1 of its own peak, over the whole film.
    size : (int, int)
        Rows and columns of the layer.

    Returns
    -------
    uint8 (rows, columns, 4)
        RGBA; clear where :func:`blend` leaves the film as it is, opaque at the peak.
    """
    fine = np.clip(cv2.resize(heat, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    alpha = np.clip((fine - TRANSPARENT_BELOW) / (1 - TRANSPARENT_BELOW), 0.0, 1.0)
    painted = colours()[np.rint(fine * 255).astype(np.uint8)]
    return np.dstack([painted, np.rint(alpha * 255).astype(np.uint8)])


def draw_boxes(image: Rgb, boxes: Sequence[Box], *, rows: int, columns: int) -> None:
    """Draw rectangles, given in source pixels of a ``rows`` x ``columns`` film, into ``image`` (in place)."""
    height, width = image.shape[:2]
    line = max(1, round(height / 512))
    for box in boxes:
        corners = [round(v) for v in (box.left / columns * width, box.top / rows * height,
                                      box.right / columns * width, box.bottom / rows * height)]  # fmt: skip
        left, top, right, bottom = (int(c) for c in corners)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), (0, 0, 0), line + 2)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), OUTLINE, line)
