"""Reads ``labels.csv``: which film serves which split, and what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.data.cells import read_table
from cxrd_models.data.tasks import GENERAL, OWN, Task, tasks_in
from cxrd_models.errors import DataError

SPLITS = ("train", "val", "test")
_COLUMNS = ("file", "split", "patient_id")


class Film(Value):
    """One row that serves the task.

    Attributes
    ----------
    row : int
        Line of ``labels.csv`` (the header is 1).
    file : str
        Relative to the data folder.
    mask : str
        Picture of the lungs, relative to the data folder; "" where there is none.
    """

    row: int
    file: str
    split: str
    patient: str
    labels: tuple[str, ...]
    source: str
    view: str
    mask: str = ""

    @property
    def told(self) -> str:
        """Its name in papers that others read: of a film outside the data folder, no folder of this machine."""
        path = PurePath(self.file)
        return f"{sha256(str(path.parent).encode()).hexdigest()[:8]}/{path.name}" if path.is_absolute() else self.file


class Manifest(Value):
    """The films of one task in one folder, in the file's order."""

    folder: Path
    task: Task
    films: tuple[Film, ...]

    @property
    def digest(self) -> str:
        """sha256 (hex) over file, split, patient and labels of every film: what was trained on."""
        text = "\n".join("\t".join((f.file, f.split, f.patient, "|".join(f.labels))) for f in self.films)
        return sha256(text.encode()).hexdigest()

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Return the indices of a split's films, int64."""
        return np.array([i for i, film in enumerate(self.films) if film.split == split], np.int64)

    def targets(self) -> NDArray[np.float32]:
        """[films, K] float32, 0 or 1."""
        classes = self.task.classes
        return np.array([[name in film.labels for name in classes] for film in self.films], np.float32)

    def sources(self) -> NDArray[np.str_]:
        """[films] name of the collection each film came from."""
        return np.array([film.source for film in self.films])

    def patients(self) -> NDArray[np.str_]:
        """[films] patient identifier."""
        return np.array([film.patient for film in self.films])

    def known(self, min_source_positives: int) -> NDArray[np.float32]:
        """[films, K] float32: 1 where a class may be learnt on a film's source (see `GuardRecipe`)."""
        targets, sources = self.targets(), self.sources()
        train = np.isin(np.arange(len(self.films)), self.rows_of("train"))
        known = np.ones_like(targets)
        for source in np.unique(sources):
            here = sources == source
            positives = targets[here & train].sum(axis=0)
            known[np.ix_(here, positives < min_source_positives)] = 0
        return known


def read_manifest(folder: Path, task: Task, needed: Collection[str] = SPLITS) -> Manifest:
    """Read the rows of ``folder/labels.csv`` that serve a task.

    Parameters
    ----------
    needed : collection of str
        Splits that must have films.

    Raises
    ------
    DataError
        No such file, a missing column, an empty file or patient, an unknown split or label, a film twice, a patient
        in two splits, or a needed split without films; the message names file and row.
    """
    table = folder / "labels.csv"
    lines = read_table(table, (*_COLUMNS, task.column), hint=_other)
    films = tuple(_film(table, number, row, task) for number, row in enumerate(lines, 2) if row[task.column])
    manifest = Manifest(folder=folder, task=task, films=films)
    _check(table, manifest, needed)
    return manifest


def _other(columns: Collection[str]) -> str:
    """Say what else the table can teach."""
    own = f'task = "{OWN}" learns column {GENERAL}' if GENERAL in columns else ""
    return "; ".join(filter(None, (own, *(f'task = "{name}" fits' for name in tasks_in(columns)))))


def _film(table: Path, number: int, row: dict[str, str], task: Task) -> Film:
    if not row["file"] or not row["patient_id"]:
        raise DataError(
            f"{table} row {number} ({row['file']}): file or patient_id is empty",
            hint="a film of an unknown patient gets a patient_id of its own: its file's name, say",
        )
    if row["split"] not in SPLITS:
        raise DataError(f"{table} row {number} ({row['file']}): split {row['split']!r} is not one of {SPLITS}")
    try:
        labels = task.parse(row[task.column])
    except ValueError as fault:
        raise DataError(f"{table} row {number} ({row['file']}): {fault}") from fault
    return Film(
        row=number,
        file=row["file"],
        split=row["split"],
        patient=row["patient_id"],
        labels=labels,
        source=row.get("source", ""),
        view=row.get("view", ""),
        mask=row.get("lung_mask", ""),
    )


def _check(table: Path, manifest: Manifest, needed: Collection[str]) -> None:
    home: dict[str, Film] = {}
    for film in manifest.films:
        first = home.setdefault(film.patient, film)
        if first.split != film.split:
            raise DataError(
                f"{table}: patient of row {film.row} ({film.file}, {film.split}) is also in row {first.row} "
                f"({first.file}, {first.split})",
                hint="a patient belongs to one split, or the test figures are not true",
            )
    twice = [name for name, count in Counter(f.file for f in manifest.films).items() if count > 1]
    if twice:
        raise DataError(f"{table}: {twice[0]} is listed more than once")
    for split in needed:
        if not any(film.split == split for film in manifest.films):
            raise DataError(
                f"{table}: no film of split {split!r} is labelled for task {manifest.task.id}",
                hint="label some, or let cxrd dataset divide the films anew",
            )
