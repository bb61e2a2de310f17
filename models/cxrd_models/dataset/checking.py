"""``cxrd dataset check``: what a data set holds, what leaks, and what tells its labels for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from cxrd.findings import Value
from cxrd_models.data.manifest import SPLITS
from cxrd_models.dataset.build import Built
from cxrd_models.dataset.clues import FEWEST, LOUD, Clue, find_clues
from cxrd_models.dataset.leakage import Leakage, Pair, find_leakage
from cxrd_models.dataset.pictures import look_all
from cxrd_models.dataset.rows import TABLE, Row, read_rows
from cxrd_models.errors import DataError


class Checked(Value):
    """What a check found."""

    rows: tuple[Row, ...]
    leakage: Leakage
    clues: tuple[Clue, ...]


def check_folder(folder: Path, advance: Callable[[], object] = lambda: None) -> Checked:
    """Read every film of a data set and compare its splits; ``advance`` is called after each film.

    Raises
    ------
    DataError
        The table or a film cannot be read, a film is listed twice, or a split is none.
    """
    rows = read_rows(folder)
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        if row.split not in SPLITS:
            raise DataError(f"{folder / TABLE} row {number} ({row.file}): split {row.split!r} is not one of {SPLITS}")
        if seen.setdefault(row.file, number) != number:
            raise DataError(f"{folder / TABLE} row {number}: {row.file} is in row {seen[row.file]} too")
    pictures = look_all([folder / row.file for row in rows], advance)
    sized = [
        row.model_copy(update={"width": p.width, "height": p.height}) for row, p in zip(rows, pictures, strict=True)
    ]
    return Checked(rows=rows, leakage=find_leakage(rows, pictures), clues=find_clues(sized))


def counts_table(rows: Sequence[Row]) -> Table:
    """Films, patients and classes of each split."""
    table = Table("", *SPLITS, title="What is in it")
    table.add_row("films", *(str(sum(row.split == split for row in rows)) for split in SPLITS))
    people = {split: {row.patient_id for row in rows if row.split == split} for split in SPLITS}
    table.add_row("patients", *(str(len(people[split])) for split in SPLITS))
    for one in sorted({one for row in rows for one in row.classes()}):
        shown = [row.split for row in rows if one in row.classes()]
        table.add_row(escape(": ".join(one)), *(str(shown.count(split)) for split in SPLITS))
    return table


def leakage_table(leakage: Leakage) -> Table:
    """What crosses the splits, and the first cases of it."""
    table = Table("films of different splits with", "found", "verdict", "for example", title="Leakage")
    for what, number, pairs, bad in (
        ("one patient", leakage.n_patients, leakage.patients, "LEAK"),
        ("the same bytes", leakage.n_copies, leakage.copies, "LEAK"),
        ("the same looks", leakage.n_look_alikes, leakage.look_alikes, "warning"),
    ):
        table.add_row(what, str(number), bad if number else "none", "\n".join(_told(pair) for pair in pairs[:3]))
    return table


def _told(pair: Pair) -> str:
    return escape(f"{pair.one} ({pair.splits[0]}) - {pair.other} ({pair.splits[1]})")


def clues_table(clues: Sequence[Clue]) -> Table:
    """How well each label is told without looking at the film."""
    title = f"AUROC on test of bookkeeping alone; -: fewer than {FEWEST} films on a side"
    table = Table("class", "source", "view", "size", "", title=title)
    for clue in clues:
        figures = ("-" if x is None else f"{x:.2f}" for x in (clue.source, clue.view, clue.size))
        loud = f"{', '.join(clue.loud)} tell it (over {LOUD})" if clue.loud else ""
        table.add_row(escape(f"{clue.column}: {clue.name}"), *figures, loud)
    return table


def check_tables(found: Checked) -> tuple[Table, ...]:
    """Everything that ``check`` prints."""
    return counts_table(found.rows), leakage_table(found.leakage), clues_table(found.clues)


def built_tables(built: Built) -> tuple[Table, ...]:
    """What a builder prints."""
    return counts_table(built.rows), leakage_table(built.leakage)
