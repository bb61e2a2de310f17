"""NIH ChestX-ray14: its tables as published, three classes of atelectasis, boxes, and balanced subsets of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from cxrd.findings import Value
from cxrd_models.data.tasks import ATEL3, NIH14
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.nih_tables import Box, Entry, read_entries, read_list
from cxrd_models.dataset.pictures import find_films
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.subset import subset
from cxrd_models.errors import DataError

SOURCE = "nih"
DELIVERED = 1024
"""Side, in pixels, of the films as NIH delivers them and in which it gives its boxes."""


class Wishes(Value):
    """What of the collection is wanted.

    Attributes
    ----------
    drop_mixed : bool
        Leave films with atelectasis and another finding out of the three classes.
    subset : int
        Number of films to keep, in the shares of age, sex and class of all; 0 keeps all.
    official : bool
        Take the published test list, and tune on patients of the published train_val list.
    partial : bool
        Leave out the films that are not in the image folder, as after a download of some of the archives.
    """

    drop_mixed: bool = False
    subset: int = 0
    official: bool = False
    partial: bool = False
    seed: int = 0


def label_atel3(findings: Sequence[str], *, drop_mixed: bool) -> str:
    """Class of a film by the three-class rule: atelectasis, other findings without it, or none.

    Returns
    -------
    str
        "" where a film shows atelectasis and something else, and such films are dropped.
    """
    if not findings:
        return "none"
    if "Atelectasis" not in findings:
        return "other"
    return "" if drop_mixed and len(findings) > 1 else "atelectasis"


def read_nih(tables: Path, images: Path, wishes: Wishes) -> Draft:
    """Read the films of the collection.

    Parameters
    ----------
    tables : Path
        Folder with Data_Entry_2017*.csv(.gz), and train_val_list.txt and test_list.txt where ``official``.
    images : Path
        Folder with the films, in whatever folders below it.

    Raises
    ------
    DataError
        A table or a film is missing, a row cannot be read, or a film is in both lists or in neither.
    """
    entries = read_entries(tables)
    split = official_splits(tables, entries) if wishes.official else {}
    where = _located(images)
    here = [entry for entry in entries if entry.file in where]
    if len(here) < len(entries) and not wishes.partial:
        first = next(entry for entry in entries if entry.file not in where)
        raise DataError(
            f"{len(entries) - len(here)} of {len(entries)} films are not below {images}, the first is {first.file} "
            f"(row {first.row})",
            hint="--partial leaves them out",
        )
    rows = [_row(entry, where[entry.file], split.get(entry.file, ""), drop=wishes.drop_mixed) for entry in here]
    kept = subset(rows, wishes.subset, wishes.seed, ATEL3.column) if wishes.subset else rows
    left_out = {"not below the image folder": len(entries) - len(here), "beyond the subset": len(rows) - len(kept)}
    notes = []
    if wishes.drop_mixed:
        mixed = sum(not row.labels[ATEL3.column] for row in kept)
        notes.append(f"{mixed} films show atelectasis and something else: they serve nih14, not atel3")
    return Draft(
        builder="nih",
        rows=tuple(kept),
        arguments=wishes.model_dump(exclude={"seed"}),
        left_out={why: n for why, n in left_out.items() if n},
        notes=tuple(notes),
    )


def official_splits(tables: Path, entries: Sequence[Entry]) -> dict[str, str]:
    """Split of each film by the published lists; train_val is called train, and val is taken from it later.

    Raises
    ------
    DataError
        A list is missing, or a film is in both or in neither.
    """
    train, test = read_list(tables, "train_val_list"), read_list(tables, "test_list")
    both = sorted(train & test)
    if both:
        raise DataError(f"{both[0]} is in train_val_list and in test_list")
    lost = next((entry for entry in entries if entry.file not in train | test), None)
    if lost:
        raise DataError(f"{lost.file} (row {lost.row}) is neither in train_val_list nor in test_list")
    return {entry.file: "test" if entry.file in test else "train" for entry in entries}


def _located(images: Path) -> dict[str, Path]:
    where: dict[str, Path] = {}
    for path in find_films(images):
        if where.setdefault(path.name, path) != path:
            raise DataError(f"{path.name} is doubled: {where[path.name]} and {path}", hint="remove one of them")
    return where


def _row(entry: Entry, path: Path, split: str, *, drop: bool) -> Row:
    return Row(
        file=str(path),
        source=SOURCE,
        split=split,
        labels={
            ATEL3.column: label_atel3(entry.findings, drop_mixed=drop),
            NIH14.column: "|".join(entry.findings) or NIH14.absent,
        },
        patient_id=f"{SOURCE}-{entry.patient}",
        view=entry.view,
        age=entry.age,
        sex=entry.sex,
        orig_file=entry.file,
    )


def boxes_csv(boxes: Sequence[Box], rows: Sequence[Row]) -> str:
    """Text of ``boxes.csv``: the boxes of films that were written, in pixels of the film as it lies there."""
    placed: Mapping[str, Row] = {row.orig_file: row for row in rows}
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "box_set", "label", "x", "y", "w", "h"))
    table.writerows(_box_cells(box, placed[box.file]) for box in boxes if box.file in placed)
    return text.getvalue()


def _box_cells(box: Box, row: Row) -> tuple[str, ...]:
    across, down = row.width / DELIVERED, row.height / DELIVERED
    numbers = (box.x * across, box.y * down, box.w * across, box.h * down)
    return (row.file, "NIH_BBox", box.label, *(f"{number:.1f}" for number in numbers))
