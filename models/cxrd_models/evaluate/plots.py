"""The curves as pictures: PNG bytes, drawn without a screen."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrd_models.evaluate import curves
from cxrd_models.evaluate.figures import Scored
from cxrd_models.evaluate.operating import Confusion, Operating

_DPI = 110
_SIDE = 5.4  # inches
_INK = "#222222"


def roc_picture(scored: Scored, judged: tuple[str, ...]) -> bytes:
    """ROC of each judged class, with its operating point."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        for name, k, colour in _lines(scored, judged):
            curve = curves.roc(scored.target[:, k], scored.probability[:, k])
            axes.step(curve.x, curve.y, where="post", color=colour, label=name, linewidth=1.5)
            truth, called = scored.target[:, k] > 0, scored.probability[:, k] >= scored.threshold[k]
            axes.plot(called[~truth].mean(), called[truth].mean(), "o", color=colour, markersize=6, markeredgecolor="w")

    return _square(draw, "1 - specificity", "sensitivity", "ROC; a dot is the operating point")


def pr_picture(scored: Scored, judged: tuple[str, ...]) -> bytes:
    """Precision over recall of each judged class; a short dotted line is what guessing would give."""

    def draw(axes: Axes) -> None:
        for name, k, colour in _lines(scored, judged):
            curve = curves.precision_recall(scored.target[:, k], scored.probability[:, k])
            axes.step(curve.x, curve.y, where="pre", color=colour, label=name, linewidth=1.5)
            axes.plot([0.95, 1], [scored.target[:, k].mean()] * 2, color=colour, linewidth=1.5, linestyle=":")

    return _square(draw, "recall (sensitivity)", "precision", "Precision and recall; dots at the right: guessing")


def reliability_picture(scored: Scored, judged: tuple[str, ...]) -> bytes:
    """Observed over stated frequency of each judged class."""
    reach = [0.05]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        for name, k, colour in _lines(scored, judged):
            bins = curves.reliability(scored.target[:, k], scored.probability[:, k])
            axes.plot(bins.said, bins.seen, "o-", color=colour, label=name, linewidth=1.2, markersize=4)
            axes.vlines(bins.said, bins.low, bins.high, color=colour, linewidth=0.7, alpha=0.6)
            reach.append(float(max(bins.said.max(), bins.seen.max())))
        axes.set_xlim(0, min(1.0, max(reach) * 1.1))
        axes.set_ylim(0, min(1.0, max(reach) * 1.1))

    return _square(draw, "probability stated", "share of films observed", "Calibration; bars are 95 % intervals")


def confusion_picture(found: Confusion) -> bytes:
    """Films by true and by most probable class."""
    return _matrices([("true class by most probable class", found.classes, np.array(found.counts, np.int64))])


def calls_picture(found: tuple[Operating, ...]) -> bytes:
    """Two by two films of each reported class at its operating point."""
    return _matrices(
        [
            (
                o.class_id,
                ("present", "absent"),
                np.array([[o.true_positives, o.false_negatives], [o.false_positives, o.true_negatives]], np.int64),
            )
            for o in found
        ]
    )


def _lines(scored: Scored, judged: tuple[str, ...]) -> Iterator[tuple[str, int, tuple[float, ...]]]:
    """Name, column and colour of each class that can be drawn."""
    scale = colormaps["tab10" if len(judged) <= 10 else "tab20"]
    for i, name in enumerate(judged):
        k = scored.classes.index(name)
        if 0 < (scored.target[:, k] > 0).sum() < len(scored.target):
            yield name, k, scale(i)


def _square(draw: Callable[[Axes], None], x: str, y: str, title: str) -> bytes:
    figure = Figure(figsize=(_SIDE, _SIDE), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=10, color=_INK)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    draw(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def _matrices(parts: list[tuple[str, tuple[str, ...], NDArray[np.int64]]]) -> bytes:
    across = min(4, max(1, len(parts)))
    down = max(1, -(-len(parts) // across))
    side = _SIDE if across == 1 else _SIDE / 2
    figure = Figure(figsize=(side * across, side * down), layout="constrained")
    for i, (title, names, counts) in enumerate(parts):
        _matrix(figure.add_subplot(down, across, i + 1), title, names, counts)
    return _png(figure)


def _matrix(axes: Axes, title: str, names: tuple[str, ...], counts: NDArray[np.int64]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9, color=_INK)
    ticks = range(len(names))
    axes.set_xticks(ticks, [f"said {n}" for n in names], fontsize=7)
    axes.set_yticks(ticks, [f"truly {n}" for n in names], fontsize=7, rotation=90, va="center")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.5 else _INK
        text = f"{counts[row, column]}\n{share[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI, metadata={"Software": None})  # no version of the drawing program
    return picture.getvalue()
