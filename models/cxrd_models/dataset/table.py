"""Any table that names a film and what it shows on each line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxrd.findings import Value
from cxrd_models.data.cells import read_table
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.splits import split_word
from cxrd_models.dataset.words import cell_of, column_of, parse_map, sex_of, task_for, years
from cxrd_models.errors import DataError

NO_PATIENTS = "the source names no patients: each film counts as a patient of its own"


class Columns(Value):
    """Names of a table's columns; "" where it has none, which may be so of all but file and label."""

    file: str = "file"
    label: str = "label"
    patient: str = "patient_id"
    split: str = ""
    source: str = ""
    view: str = ""
    age: str = ""
    sex: str = ""

    def named(self) -> tuple[str, ...]:
        """Columns that the table must have."""
        return tuple(name for name in self.model_dump().values() if name)


def read_labels(
    table: Path, columns: Columns, *, images: Path | None = None, task: str = "", mapping: Sequence[str] = ()
) -> Draft:
    """Read the films of a table.

    Parameters
    ----------
    images : Path, optional
        Folder that the file names start from; the table's own by default.
    task, mapping
        As for class folders.

    Raises
    ------
    DataError
        A missing column or cell, a film that is missing or listed twice, an unknown label or split; names the row.
    """
    if not columns.file or not columns.label:
        raise DataError("a table names a film and what it shows", hint="--file and --label say in which columns")
    lines = read_table(table, columns.named())
    root, words = images or table.parent, parse_map(mapping)
    about = task_for(task, dict.fromkeys(line[columns.label] for line in lines), words)
    rows = []
    listed: dict[str, int] = {}
    for number, line in enumerate(lines, 2):
        where = f"{table} row {number} ({line[columns.file]})"
        _check(line, columns, root, where)
        if listed.setdefault(line[columns.file], number) != number:
            raise DataError(f"{where} is listed in row {listed[line[columns.file]]} too")
        label = {column_of(about): cell_of(about, line[columns.label], words, where)}
        rows.append(_row(line, columns, root / line[columns.file], label, table.stem))
    told: dict[str, str | int | float | bool | None] = {
        "table": table.name, "task": about.id if about else "", "map": "; ".join(mapping), **columns.model_dump(),
    }  # fmt: skip
    notes = () if columns.patient else (NO_PATIENTS,)
    return Draft(builder="csv", rows=tuple(rows), arguments=told, notes=notes)


def _check(line: dict[str, str], columns: Columns, root: Path, where: str) -> None:
    for name in filter(None, (columns.file, columns.label, columns.patient)):
        if not line[name]:
            raise DataError(
                f"{where}: {name} is empty",
                hint="a film needs a label and a patient; remove the row, or --patient '' where nobody is named",
            )
    if columns.split and line[columns.split] and not split_word(line[columns.split]):
        raise DataError(f"{where}: split {line[columns.split]!r} is not train, val or test")
    if not (root / line[columns.file]).is_file():
        raise DataError(f"{where} does not exist below {root}", hint="--images says where the films lie")


def _row(line: dict[str, str], columns: Columns, path: Path, labels: dict[str, str], source: str) -> Row:
    def cell(name: str) -> str:
        return line[name] if name else ""

    return Row(
        file=str(path),
        source=cell(columns.source) or source,
        split=split_word(cell(columns.split)),
        labels=labels,
        patient_id=cell(columns.patient) or line[columns.file],
        view=cell(columns.view),
        age=years(cell(columns.age)),
        sex=sex_of(cell(columns.sex)),
        orig_file=line[columns.file],
    )
