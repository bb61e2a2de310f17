"""Where things really lie on the films of a data folder: ``boxes.csv`` and pictures of the lungs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cxrd.findings import Box, Value
from cxrd_models.data.cells import read_table
from cxrd_models.errors import DataError

_COLUMNS = ("file", "label", "x", "y", "w", "h")
_MEANS = {
    "infiltrate": ("Infiltration",),  # BBox_List_2017.csv
    # What the RSNA readers outlined is an opacity that may be pneumonia; radiologists call it by any of these.
    "lung opacity": ("pneumonia", "Pneumonia", "Consolidation", "Infiltration"),
}


class TrueBox(Value):
    """A box that a person drew, and the classes of a model that should find it."""

    box: Box
    label: str
    classes: tuple[str, ...]


Boxes = dict[str, tuple[TrueBox, ...]]


def read_boxes(folder: Path, classes: tuple[str, ...]) -> Boxes:
    """Boxes of each film (by its file) that speak of any of the classes; none without a ``boxes.csv``.

    Raises
    ------
    DataError
        A column is missing, or a row holds no box.
    """
    table, found = folder / "boxes.csv", dict[str, tuple[TrueBox, ...]]()
    if not table.exists():
        return found
    for number, row in enumerate(read_table(table, _COLUMNS, bare=True), 2):
        meant = meaning(row["label"], classes)
        if meant:
            true = TrueBox(box=_box(table, number, row), label=row["label"], classes=meant)
            found[row["file"]] = (*found.get(row["file"], ()), true)
    return found


def meaning(label: str, classes: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that a box's label speaks of: the class of that name, or those it is known to mean."""
    words = _MEANS.get(label.lower(), ())
    return tuple(c for c in classes if c.lower() == label.lower() or c in words)


def _box(table: Path, number: int, row: dict[str, str]) -> Box:
    try:
        x, y, w, h = (float(row[name]) for name in ("x", "y", "w", "h"))
    except (TypeError, ValueError) as fault:
        raise DataError(f"{table} row {number}: x, y, w, h are not numbers: {fault}") from fault
    if w <= 0 or h <= 0:
        raise DataError(f"{table} row {number}: a box of {w:g} x {h:g} pixels holds nothing")
    return Box(left=x, top=y, right=x + w, bottom=y + h)
