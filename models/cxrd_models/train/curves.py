"""Draws how a run went, from its log."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

LOG, TABLE, PICTURE = "log.jsonl", "history.csv", "curves.png"
_COLUMNS = ("trained", "phase", "epoch", "loss", "val_loss", "val_accuracy", "val_auroc", "score", "lowered", "seconds")


def draw_curves(out: Path) -> None:
    """Write ``history.csv`` and ``curves.png``: loss, accuracy and AUROC by epoch; nothing without a log."""
    epochs = _epochs(out / LOG)
    if not epochs:
        return
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(epochs)
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not needed to train

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    across = [e["trained"] for e in epochs]
    for axes, title, names in zip(
        figure.subplots(1, 3),
        ("loss", "accuracy", "AUROC"),
        (("loss", "val_loss"), ("val_accuracy",), ("val_auroc",)),
        strict=True,
    ):
        for name in names:
            axes.plot(across, [e[name] for e in epochs], marker=".", label=name)
        for before, after in pairwise(epochs):
            if before["phase"] != after["phase"]:
                axes.axvline(before["trained"] + 0.5, color="0.8", linewidth=1)
        axes.set(title=title, xlabel="epoch")
        axes.legend(frameon=False)
    figure.savefig(out / PICTURE, dpi=110)


def _epochs(log: Path) -> list[dict[str, Any]]:
    """The last line about each epoch: one that was interrupted and trained again counts once."""
    found: dict[int, dict[str, Any]] = {}
    for text in log.read_text("utf-8").splitlines() if log.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:  # a power cut ended in the middle of it
            continue
        if line["event"] == "epoch":
            found[line["trained"]] = line
    return [found[number] for number in sorted(found)]
