"""Tables for people, JSON for programs: one way to print rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


def rows(title: str, columns: Sequence[str], found: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows as a table, or as one JSON object a line.

    Parameters
    ----------
    title : str
        Heading of the table.
    columns : sequence of str
        Keys to show, in order; JSON keeps every key.
    found : iterable of mapping
        The rows.
    as_json : bool
        JSON lines instead of a table.
    """
    if as_json:
        for row in found:
            typer.echo(json.dumps(row, default=str, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(_plain(row.get(column)) for column in columns))
    Console(markup=False, emoji=False).print(table)


def _plain(value: object) -> str:
    """As it was written: what a PACS or a header says moves no cursor."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def progress() -> Progress:
    """Show how far long work is and when it will be done; on standard error, and only where a person sees it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def clock(epoch_s: float | None) -> str:
    """Local time of an epoch second, or nothing."""
    return "" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).astimezone().isoformat(" ", "seconds")
