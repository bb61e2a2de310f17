"""Which task a recipe or a package asks: one known by name, one that it spells out, or the data set's own."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import ValidationError

from cxrd_models.data.cells import read_table
from cxrd_models.data.tasks import GENERAL, NORMAL, OWN, Task, task_of, tasks_in
from cxrd_models.errors import DataError

RUN = "evaluation/run.json"
"""Where a package keeps the record of the run that made it."""


def asked(task: str | Task, folder: Path) -> Task:
    """Return the task that a recipe asks of a folder with a ``labels.csv``.

    Raises
    ------
    RecipeError
        No task has that name.
    DataError
        The folder's own task is asked for, and it has none.
    """
    if isinstance(task, Task):
        return task
    return own_task(folder / "labels.csv") if task == OWN else task_of(task)


def own_task(table: Path) -> Task:
    """Return the task of column ``label``: its words are the classes, in alphabetical order.

    Words for a normal film (`NORMAL`) are no class where films show several findings, or one finding or none. Classes
    exclude each other unless a film has several.

    Raises
    ------
    DataError
        No such table or column, no label, only one, or two words for a normal film.
    """
    lines = read_table(table, (GENERAL,), hint=_instead)
    return _task(table, {row[GENERAL] for row in lines if row[GENERAL]})


def _instead(columns: Collection[str]) -> str:
    known = ", ".join(tasks_in(columns))
    return f"its labels are those of task {known}" if known else "cxrd dataset csv --label COLUMN makes it"


def _task(table: Path, cells: Iterable[str]) -> Task:
    several = any("|" in cell for cell in cells)
    words = sorted({word for cell in cells for word in cell.split("|")})
    normal = [word for word in words if word.lower() in NORMAL]
    if len(normal) > 1:
        raise DataError(
            f"{table}: {' and '.join(normal)} both mean a normal film",
            hint=f"cxrd dataset ... --map '{normal[0]}={normal[1]}' makes them one",
        )
    found = [word for word in words if word not in normal]
    if not found or len(words) < 2:
        raise DataError(f"{table}: column {GENERAL} tells {', '.join(words) or 'nothing'}: there is nothing to learn")
    alone = several or (len(found) == 1 and normal)
    kind = "multilabel" if several else "binary" if len(words) == 2 else "multiclass"
    return Task(
        id=OWN,
        classes=tuple(found if alone else words),
        kind=kind,
        absent=normal[0] if alone and normal else "",
    )


def made_for(package: Path) -> Task:
    """Return the task that a package was made for, as its run recorded it.

    Raises
    ------
    DataError
        The package has no readable record.
    """
    try:
        record = json.loads((package / RUN).read_text("utf-8"))
        return Task.model_validate(record["task"]) if "task" in record else task_of(record["recipe"]["task"])
    except (OSError, ValueError, KeyError, ValidationError) as fault:
        raise DataError(f"{package / RUN} cannot be read: {fault}", hint="a package of cxrd export has it") from fault
