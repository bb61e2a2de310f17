"""Pictures of single films: the film, and beside it the heat and the boxes as the daemon draws them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box
from cxrd.imaging.overlay import OUTLINE, blend
from cxrd.imaging.preprocess import display
from cxrd.inference.heatmap import box_on_film
from cxrd.inference.manifest import HeatSpec
from cxrd_models.evaluate.places import film_ref

_SIDE = 420  # pixels of the longer side: two films side by side fit a page
_TRUTH = (64, 200, 255)  # cyan beside the daemon's yellow: distinct to colour-blind eyes too
_GAP = 6

Rgb = NDArray[np.uint8]


def panel(
    film: NDArray[np.float32], heat: NDArray[np.float32] | None, spec: HeatSpec | None, truth: Sequence[Box]
) -> Rgb:
    """Film beside itself with heat, predicted box (yellow) and true boxes (cyan), uint8 (height, width, 3).

    Parameters
    ----------
    film : float32 (rows, columns)
        In 0..1, bone white.
    heat : float32 (h, w) or None
        Raw map, >= 0; without one the right half shows the true boxes only.
    truth : sequence of Box
        In pixels of ``film``.
    """
    rows, columns = film.shape
    preview = _enlarged(display(film, _SIDE))
    peak = 0.0 if heat is None else float(heat.max(initial=0.0))
    seen = np.asarray(heat / peak, np.float32) if heat is not None and peak > 0 else None
    right = blend(preview, seen)
    _outline(right, truth, _TRUTH, film.shape)
    if heat is not None and spec is not None:
        size = film_ref(rows, columns)
        box = box_on_film(heat, size, threshold=spec.box_threshold, min_peak=spec.min_peak)
        _outline(right, [box] if box else [], OUTLINE, film.shape)
    gap = np.full((preview.shape[0], _GAP, 3), 255, np.uint8)
    return np.hstack([blend(preview, None), gap, right])


def _enlarged(preview: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A thumbnail of 64 pixels is shown as large as the others, its pixels smoothed."""
    scale = _SIDE / max(preview.shape)
    if scale <= 1:
        return preview
    size = (round(preview.shape[1] * scale), round(preview.shape[0] * scale))
    return np.asarray(cv2.resize(preview, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _outline(image: Rgb, boxes: Sequence[Box], colour: tuple[int, int, int], size: tuple[int, ...]) -> None:
    """Draw boxes of a film of ``size`` as thick as a small picture needs."""
    height, width = image.shape[:2]
    across, down = width / size[1], height / size[0]
    for box in boxes:
        start = (round(box.left * across), round(box.top * down))
        end = (round(box.right * across) - 1, round(box.bottom * down) - 1)
        cv2.rectangle(image, start, end, (0, 0, 0), 4)
        cv2.rectangle(image, start, end, colour, 2)


def png(image: Rgb) -> bytes:
    """Encode without loss, for a file of its own."""
    _, encoded = cv2.imencode(".png", image[:, :, ::-1])  # OpenCV writes BGR
    return bytes(encoded)


def jpeg(image: Rgb) -> bytes:
    """Encode for a page that holds many: a sixth of the size, and nothing that an eye would miss."""
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return bytes(encoded)
