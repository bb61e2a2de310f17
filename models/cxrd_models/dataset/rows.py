"""One film of a data set, and the files that say which films there are: ``labels.csv`` and ``dataset.json``."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from cxrd.findings import Value
from cxrd_models.data.cells import read_table
from cxrd_models.errors import DataError
from cxrd_models.writing import write_atomically, writing

TABLE, ABOUT = "labels.csv", "dataset.json"
MULTILABEL = "nih14"
FIXED = (
    "patient_id", "view", "age", "sex", "orig_file", "sha256", "width", "height", "lung_mask",
)  # fmt: skip


class Row(Value):
    """One film.

    Attributes
    ----------
    file : str
        Relative to the folder of ``labels.csv``, or absolute where the films stay elsewhere.
    source : str
        The collection that the film came from.
    split : str
        train, val or test; "" as long as nobody has decided.
    labels : dict
        Cell of each label column, by the column's name; "" where the film does not serve the task.
    patient_id : str
        Films of one person share it; never empty.
    age : str
        Years; "" unknown.
    orig_file : str
        The name by which the source knows the film.
    sha256 : str
        Hash (hex) of the file's bytes.
    lung_mask : str
        Picture of the lungs; "" where there is none.
    """

    file: str
    source: str
    split: str = ""
    labels: dict[str, str]
    patient_id: str
    view: str = ""
    age: str = ""
    sex: str = ""
    orig_file: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    lung_mask: str = ""

    def classes(self) -> list[tuple[str, str]]:
        """Every (column, class) that is true of the film."""
        return [(column, word) for column, cell in self.labels.items() if cell for word in cell.split("|")]


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Label columns, in the order in which rows bring them."""
    return tuple(dict.fromkeys(column for row in rows for column in row.labels))


def csv_text(rows: Sequence[Row]) -> str:
    """Write rows as CSV text: lines end with a line feed on every system, so that equal rows have equal bytes."""
    labels = columns_of(rows)
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "source", "split", *labels, *FIXED))
    for row in rows:
        kept = (str(getattr(row, name) or "") for name in FIXED)
        table.writerow((row.file, row.source, row.split, *(row.labels.get(c, "") for c in labels), *kept))
    return text.getvalue()


def write_dataset(out: Path, rows: Sequence[Row], about: Mapping[str, Any], *, parquet: bool = False) -> Path:
    """Write ``dataset.json``, then ``labels.csv``: where the table stands, everything stands.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    DataError
        A file cannot be written.
    """
    text = csv_text(rows)
    whole = {**about, "digest": sha256(text.encode()).hexdigest()}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ABOUT, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        if parquet:
            _write_parquet(out / "labels.parquet", text)
        write_atomically(out / TABLE, text)
    return out / TABLE


def refuse_parquet(out: Path) -> None:
    """Say before the first film is read that no Parquet can be written.

    Raises
    ------
    DataError
        pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise DataError(f"{out}/labels.parquet needs pyarrow, which is not installed", hint="pip install pyarrow")


def _write_parquet(target: Path, text: str) -> None:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    header, *lines = csv.reader(StringIO(text))
    cells = dict(zip(header, zip(*lines, strict=True), strict=True)) if lines else dict.fromkeys(header, ())
    columns = {
        name: [int(cell or 0) for cell in column] if name in ("width", "height") else list(column)
        for name, column in cells.items()
    }
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    parquet.write_table(arrow.table(columns), beside)
    beside.replace(target)


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Rows of ``folder/labels.csv``, whoever wrote it; label columns are ``label``, ``label_…`` and ``nih14``.

    Raises
    ------
    DataError
        No such table, no film in it, or a missing column or cell; names the row.
    """
    cells = read_table(folder / TABLE, ("file", "split", "patient_id"))
    names = [c for c in cells[0] if c in ("label", MULTILABEL) or c.startswith("label_")]
    rows = []
    for number, line in enumerate(cells, 2):
        if not line["file"] or not line["patient_id"]:
            raise DataError(f"{folder / TABLE} row {number}: file or patient_id is empty")
        kept = {k: line.get(k) or "" for k in ("source", *FIXED) if k not in ("width", "height")}
        size = {k: int(line.get(k) or 0) for k in ("width", "height") if (line.get(k) or "0").isdigit()}
        labels = {name: line[name] for name in names}
        rows.append(
            Row.model_validate({**kept, **size, "labels": labels, "file": line["file"], "split": line["split"]})
        )
    return tuple(rows)
