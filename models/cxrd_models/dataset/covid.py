"""The COVID-19 Radiography database: COVID, Normal and Viral Pneumonia, each with images and lung masks."""

from __future__ import annotations

from pathlib import Path

from cxrd_models.data.tasks import COVID3
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.pictures import PICTURES, find_films
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.table import NO_PATIENTS
from cxrd_models.errors import DataError

CLASSES = {"covid": "covid", "normal": "normal", "viral pneumonia": "viral"}
LEFT_OUT = {"lung_opacity": "Lung_Opacity is no class of covid3"}
SOURCE = "covid_radiography"


def read_covid(folder: Path) -> Draft:
    """Read the films of the three classes.

    The database names no patients, so each film counts as a patient of its own, and says nothing of age, sex or
    view: nearly every normal and viral film is a child's, every COVID film an adult's.

    Raises
    ------
    DataError
        A class folder is missing or empty.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    below = {path.name.lower().replace("_", " "): path for path in sorted(folder.iterdir()) if path.is_dir()}
    rows: list[Row] = []
    for name, word in CLASSES.items():
        if name not in below:
            raise DataError(f"{folder} has no folder {name!r}", hint="it should hold COVID, Normal and Viral Pneumonia")
        rows += _class(folder, below[name], word)
    left_out = {
        why: sum(path.suffix.lower() in PICTURES for path in _images(below[name.replace("_", " ")]).iterdir())
        for name, why in LEFT_OUT.items()
        if name.replace("_", " ") in below
    }
    return Draft(
        builder="covid",
        rows=tuple(rows),
        arguments={"folder": folder.name},
        left_out=left_out,
        notes=(NO_PATIENTS,),
    )


def _images(folder: Path) -> Path:
    """Films lie in ``images`` since version 3, and beside nothing before."""
    return folder / "images" if (folder / "images").is_dir() else folder


def _class(folder: Path, place: Path, word: str) -> list[Row]:
    masks = place / "masks"
    rows = []
    for path in find_films(_images(place)):
        inside = path.relative_to(folder).as_posix()
        mask = masks / path.name
        rows.append(
            Row(
                file=str(path),
                source=SOURCE,
                labels={COVID3.column: word},
                patient_id=f"{SOURCE}-{path.stem}",
                orig_file=inside,
                lung_mask=str(mask) if mask.is_file() else "",
            )
        )
    return rows
