"""The tables that NIH publishes beside its films, in every spelling that is about."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from cxrd.findings import Value
from cxrd_models.data.tasks import NIH14
from cxrd_models.dataset.words import sex_of, years
from cxrd_models.errors import DataError

FILE, FINDINGS, PATIENT = "Image Index", "Finding Labels", "Patient ID"
SEX = ("Patient Gender", "Patient Sex")
LONG = {"Infiltrate": "Infiltration"}
"""What the table of boxes calls otherwise than the table of films."""


class Entry(Value):
    """One row of Data_Entry.

    Attributes
    ----------
    row : int
        Line of the table (the header is 1).
    findings : tuple of str
        Classes of ``nih14``; empty for "No Finding".
    """

    row: int
    file: str
    findings: tuple[str, ...]
    patient: str
    age: str
    sex: str
    view: str


class Box(Value):
    """One box of BBox_List, in pixels of a film of 1024 x 1024; x and y are its upper left corner."""

    file: str
    label: str
    x: float
    y: float
    w: float
    h: float


def read_entries(tables: Path) -> tuple[Entry, ...]:
    """Read Data_Entry_2017*.csv, packed or not, of either spelling of its columns.

    Raises
    ------
    DataError
        No such table, a column missing, a film twice, or a finding unknown; names the row.
    """
    table = _only(tables, ("Data_Entry*.csv", "Data_Entry*.csv.gz"))
    header, *lines = _lines(table)
    at = {name: i for i, name in enumerate(header)}
    sex = next((name for name in SEX if name in at), "")
    missing = [name for name in (FILE, FINDINGS, PATIENT, "Patient Age", "View Position") if name not in at]
    if missing or not sex:
        raise DataError(f"{table} has no column {', '.join([*missing, *([] if sex else [SEX[0]])])}")
    entries = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 2):
        if len(line) < len(header) - 1:  # one edition ends its header with a comma
            raise DataError(f"{table} row {number} ({line[0]}) is cut off")
        if seen.setdefault(line[at[FILE]], number) != number:
            raise DataError(f"{table} row {number}: {line[at[FILE]]} is in row {seen[line[at[FILE]]]} too")
        entries.append(
            Entry(
                row=number,
                file=line[at[FILE]],
                findings=_findings(line[at[FINDINGS]], f"{table} row {number} ({line[at[FILE]]})"),
                patient=_number(line[at[PATIENT]]),
                age=years(line[at["Patient Age"]]),
                sex=sex_of(line[at[sex]]),
                view=line[at["View Position"]],
            )
        )
    return tuple(entries)


def _number(patient: str) -> str:
    """The same patient is ``1`` in one edition and ``00000001`` in another."""
    return patient.lstrip("0") or patient[:1]


def _findings(text: str, where: str) -> tuple[str, ...]:
    try:
        return NIH14.parse(text)
    except ValueError as fault:
        raise DataError(f"{where}: {fault}") from fault


def read_boxes(tables: Path) -> tuple[Box, ...]:
    """BBox_List_2017.csv; none where there is no such table.

    Raises
    ------
    DataError
        A row is no box.
    """
    if not any(tables.glob("BBox_List*.csv*")):
        return ()
    table = _only(tables, ("BBox_List*.csv", "BBox_List*.csv.gz"))
    boxes = []
    for number, line in enumerate(_lines(table)[1:], 2):
        try:
            x, y, w, h = (float(cell) for cell in line[2:6])
        except ValueError as fault:
            raise DataError(f"{table} row {number} ({line[0]}) is no box: {fault}") from fault
        boxes.append(Box(file=line[0], label=LONG.get(line[1], line[1]), x=x, y=y, w=w, h=h))
    return tuple(boxes)


def read_list(tables: Path, name: str) -> frozenset[str]:
    """Films of train_val_list or test_list, as .txt or as .csv.

    Raises
    ------
    DataError
        No such list.
    """
    lists = _only(tables, (f"{name}*.txt", f"{name}*.csv"))
    return frozenset(line[0].strip() for line in _lines(lists) if line[0].strip() != FILE)


def _only(tables: Path, patterns: tuple[str, ...]) -> Path:
    found = sorted(path for pattern in patterns for path in tables.glob(pattern))
    if not found:
        raise DataError(f"{tables} holds no {patterns[0]}", hint="TABLES is the folder with the tables of NIH")
    if len(found) > 1:
        raise DataError(f"{tables} holds {found[0].name} and {found[1].name}", hint="leave one edition there")
    return found[0]


def _lines(table: Path) -> list[list[str]]:
    """Lines that hold something."""
    try:
        return list(_read(table))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{table} cannot be read: {fault}") from fault


def _read(table: Path) -> Iterator[list[str]]:
    opened = gzip.open if table.suffix == ".gz" else open
    with opened(table, "rt", newline="", encoding="utf-8-sig") as text:
        yield from (line for line in csv.reader(text) if any(line))
