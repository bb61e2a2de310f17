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
    if heat is None:
        return _rgb(preview)
    levels = _levels(heat, preview.shape)
    alpha = _opacity() * STRONGEST
    kept = np.rint(255 * (1 - alpha)).astype(np.uint8)
    glow = np.rint(colours() * alpha[:, np.newaxis]).astype(np.uint8)
    # by tables of 256 levels and in 8 bits, a tenth of the time that floats take; two grey levels are lost at most
    film = cv2.multiply(preview, cv2.LUT(levels, kept), scale=1 / 255)
    return np.asarray(cv2.add(_rgb(film), cv2.LUT(_rgb(levels), glow[np.newaxis])), np.uint8)


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
    table = np.column_stack([colours(), np.rint(255 * _opacity()).astype(np.uint8)])
    return np.asarray(table[_levels(heat, size)], np.uint8)


def _levels(heat: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A heat over a whole picture of so many rows and columns, its peak 255."""
    fine = cv2.resize(heat, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(np.clip(fine, 0.0, 1.0) * 255), np.uint8)


def _opacity() -> NDArray[np.float64]:
    """Opacity of each of 256 levels, 1 at the peak."""
    return np.clip((np.arange(256) / 255 - TRANSPARENT_BELOW) / (1 - TRANSPARENT_BELOW), 0.0, 1.0)


def _rgb(grey: cv2.typing.MatLike) -> Rgb:
    return np.asarray(cv2.merge([grey, grey, grey]), np.uint8)


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
