"""Reads tables that people wrote, on whatever system: one way for every CSV file of the trainer."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from pathlib import Path

from cxrd_models.errors import DataError


def _told(columns: Collection[str]) -> str:
    return f"it has: {', '.join(columns)}"


def read_table(
    table: Path, needed: Sequence[str] = (), *, hint: Callable[[Collection[str]], str] = _told, bare: bool = False
) -> list[dict[str, str]]:
    """Every line of a CSV by column name, cells stripped; a byte order mark is no part of the first name.

    Parameters
    ----------
    needed : sequence of str
        Columns that the table must have.
    hint : callable
        What to do where one is missing, by the columns that there are.
    bare : bool
        A table may hold no row.

    Raises
    ------
    DataError
        The file is missing, is no text, is empty, lacks a column, or has a row of more cells than columns.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            header, *rest = [line for line in csv.reader(text) if line] or [[]]
    except FileNotFoundError:
        raise DataError(
            f"{table} does not exist",
            hint="a data set is a folder with a labels.csv" if table.name == "labels.csv" else "",
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{table} cannot be read: {fault}", hint="a table is a CSV file in UTF-8") from fault
    names = tuple(name.strip() for name in header)
    missing = [name for name in needed if name not in names]
    if missing:
        raise DataError(f"{table} has no column {', '.join(missing)}", hint=hint(names))
    if not rest and not bare:
        raise DataError(f"{table} holds no row")
    for number, line in enumerate(rest, 2):
        if any(line[len(names) :]):
            raise DataError(f"{table} row {number} has {len(line)} cells for {len(names)} columns", hint="quote commas")
    return [
        {name: cell.strip() for name, cell in zip_longest(names, line[: len(names)], fillvalue="") if name}
        for line in rest
    ]
