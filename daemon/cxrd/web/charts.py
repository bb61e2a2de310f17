"""Small pictures as SVG, drawn on the server: no script and no library has to be there to see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

BINS = 20
WIDTH, HEIGHT = 200, 48


def histogram(
    label: str, reference: Sequence[float] | NDArray[np.float64], seen: Sequence[float], *, mark: float | None = None
) -> Markup:
    """Two distributions on one axis: grey for what a package was tested on, coloured for the newest films.

    Parameters
    ----------
    label : str
        What a screen reader says.
    reference, seen
        Values from 0 to 1; either may be empty.
    mark : float or None
        A threshold, drawn as a line.
    """
    expected, found = _shares(np.asarray(reference, np.float64)), _shares(np.asarray(seen, np.float64))
    peak = max(float(expected.max()), float(found.max()), 1e-9)
    parts = [
        f'<path class="expected" d="{_steps(expected / peak)}"/>',
        f'<path class="seen" d="{_line(found / peak)}"/>',
    ]
    if mark is not None:
        x = mark * WIDTH
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"/>')
    shape = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return Markup(f'<svg class="plot" role="img" aria-label="{escape(label)}" {shape}>{"".join(parts)}</svg>')  # noqa: S704 - numbers, and the label is escaped


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of each bin's share, so that a few high scores are seen beside many low ones."""
    counts, _ = np.histogram(np.clip(values, 0, 1), BINS, (0, 1))
    return np.asarray(np.sqrt(counts / max(1, counts.sum())))


def _steps(heights: NDArray[np.float64]) -> str:
    """Filled bars as one path."""
    step = WIDTH / len(heights)
    corners = [f"M0 {HEIGHT}"]
    for index, height in enumerate(heights):
        y = HEIGHT * (1 - float(height))
        corners.append(f"L{index * step:.1f} {y:.1f}L{(index + 1) * step:.1f} {y:.1f}")
    return "".join([*corners, f"L{WIDTH} {HEIGHT}Z"])


def _line(heights: NDArray[np.float64]) -> str:
    """A stepped outline."""
    if not heights.any():
        return ""
    return _steps(heights).removesuffix("Z")
