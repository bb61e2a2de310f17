"""Class folders, with or without train, val and test above them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.pictures import find_films, hidden
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.splits import split_word
from cxrd_models.dataset.words import KERMANY, cell_of, column_of, compiled, parse_map, patient_by, task_for
from cxrd_models.errors import DataError

NO_PATIENT = "the name of {} films tells no patient: each counts as a patient of its own"


def read_folder(
    folder: Path, *, task: str = "", patient: str = "", mapping: Sequence[str] = (), source: str = ""
) -> Draft:
    """Read the films of class folders.

    Parameters
    ----------
    task : str
        Id of the trainer's task; "" takes the first that knows all class names.
    patient : str
        Regular expression that finds the patient in a film's path below ``folder``; "" knows Kermany's names.
    mapping : sequence of str
        ``WORD=class`` for folders that are called otherwise.
    source : str
        Name of the collection; "" takes the folder's.

    Raises
    ------
    DataError
        No film, a film outside a class folder, a class folder without films, or a label that the task does not know.
    """
    found = [(path, *_place(folder, path)) for path in find_films(folder)]
    _refuse_empty(folder, [path for path, _, _ in found])
    words = parse_map(mapping)
    about = task_for(task, dict.fromkeys(word for _, word, _ in found), words)
    pattern = compiled(patient) if patient else KERMANY
    rows = []
    alone = 0
    for path, word, split in found:
        inside = path.relative_to(folder).as_posix()
        person = _patient(pattern, inside, path, required=bool(patient))
        alone += not person
        rows.append(
            Row(
                file=str(path),
                source=source or folder.resolve().name,
                split=split,
                labels={column_of(about): cell_of(about, word, words, inside)},
                patient_id=person or inside,
                orig_file=inside,
            )
        )
    told: dict[str, str | int | float | bool | None] = {
        "folder": folder.name, "task": about.id if about else "", "patient": patient, "map": "; ".join(mapping),
    }  # fmt: skip
    notes = (NO_PATIENT.format(alone),) if alone else ()
    return Draft(builder="folder", rows=tuple(rows), arguments=told, notes=notes)


def _place(folder: Path, path: Path) -> tuple[str, str]:
    """Class folder and split of a film: the class is the folder nearest to the root that is no split."""
    parts = path.relative_to(folder).parts[:-1]
    split = split_word(parts[0]) if parts else ""
    classes = parts[1:] if split else parts
    if not classes:
        raise DataError(f"{path} lies in no class folder", hint="DIR/CLASS/film or DIR/train/CLASS/film")
    return classes[0], split


def _refuse_empty(folder: Path, films: Sequence[Path]) -> None:
    """An empty class folder is a download that failed, not a class without films."""
    filled = {parent for path in films for parent in path.parents}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and path not in filled and not hidden(path, folder):
            raise DataError(f"{path} holds no film", hint="remove the folder, or fill it")


def _patient(pattern: re.Pattern[str], inside: str, path: Path, *, required: bool) -> str:
    person = patient_by(pattern, inside if required else path.name)
    if required and not person:
        raise DataError(f"{path}: --patient finds no patient in {inside!r}", hint=f"it looks for {pattern.pattern}")
    return person
