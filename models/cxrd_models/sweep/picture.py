"""Draws a search: what each setting does to the score, and each pair of settings as a map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from cxrd_models.sweep.search import Trial

PICTURE = "sweep.png"
_TOLD = 10
_PAIRS = 3
"""Maps drawn at most."""


def trials_table(trials: Sequence[Trial]) -> Table:
    """Tell the ten best runs."""
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    table = Table("run", "state", "score", *paths, title=f"Best of {len(trials)} runs, by validation")
    for trial in trials[:_TOLD]:
        score = "-" if trial.score is None else f"{trial.score:.4f}"
        table.add_row(f"{trial.number:04d}", trial.state, score, *(_short(trial.values.get(p, "")) for p in paths))
    return table


def draw(out: Path, trials: Sequence[Trial]) -> None:
    """Write ``sweep.png``; nothing where no run was finished."""
    done = [trial for trial in trials if trial.score is not None]
    if not done:
        return
    paths = list(dict.fromkeys(path for trial in done for path in trial.values))
    pairs = list(combinations(paths, 2))[:_PAIRS]
    columns = max(len(paths), len(pairs))
    figure = Figure(figsize=(3.4 * columns, 6 if pairs else 3), layout="constrained")
    grid = figure.subplots(2 if pairs else 1, columns, squeeze=False)
    for axes, path in zip(grid[0], paths, strict=False):
        _effect(axes, path, done)
    for axes, pair in zip(grid[-1] if pairs else (), pairs, strict=False):
        _map(axes, pair, done)
    for axes in figure.axes:
        if not axes.has_data():
            axes.set_axis_off()
    figure.savefig(out / PICTURE, dpi=110)


def _effect(axes: Axes, path: str, trials: Sequence[Trial]) -> None:
    values = [trial.values[path] for trial in trials]
    words = not all(isinstance(value, int | float) for value in values)
    across = [str(value) if words else value for value in values]
    axes.plot(across, np.array([trial.score for trial in trials], float), "o", alpha=0.6)
    axes.set(xlabel=path, ylabel="score")


def _map(axes: Axes, pair: tuple[str, str], trials: Sequence[Trial]) -> None:
    """Best score at each pair of values."""
    right, up = (sorted({trial.values[path] for trial in trials}, key=str) for path in pair)
    best = np.full((len(up), len(right)), np.nan)
    for trial in trials:
        place = up.index(trial.values[pair[1]]), right.index(trial.values[pair[0]])
        best[place] = np.nanmax([best[place], trial.score or np.nan])
    drawn = axes.imshow(best, origin="lower", aspect="auto", cmap="viridis")
    axes.set(xlabel=pair[0], ylabel=pair[1])
    axes.set_xticks(range(len(right)), [_short(value) for value in right])
    axes.set_yticks(range(len(up)), [_short(value) for value in up])
    axes.figure.colorbar(drawn, ax=axes)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
