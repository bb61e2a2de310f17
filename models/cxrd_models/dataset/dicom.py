"""DICOM files and a table of what they show; names and numbers of people stay behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from cxrd.admission import contradiction, judge
from cxrd.errors import CxrdError, Refused
from cxrd.imaging.header import read_header, text
from cxrd.imaging.preprocess import apply
from cxrd.inference.content import ContentCheck, load
from cxrd.rules import SHIPPED
from cxrd_models.data.cells import read_table
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.pictures import find_films, is_dicom, upright_pixels
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.words import cell_of, column_of, parse_map, pseudonym, sex_of, task_for, years
from cxrd_models.errors import DataError

KEYS = {
    "sop_uid": "SOPInstanceUID", "series_uid": "SeriesInstanceUID", "study_uid": "StudyInstanceUID",
    "accession": "AccessionNumber",
}  # fmt: skip
"""Columns by which a table may name a film, besides ``file``."""


def read_dicom(folder: Path, labels: Path, *, salt: str, task: str = "", mapping: Sequence[str] = ()) -> Draft:
    """Find the DICOM films that the daemon would judge, by header and pixels, and join them with a table.

    Parameters
    ----------
    labels : Path
        CSV with a column ``label`` and one of ``file``, ``sop_uid``, ``series_uid``, ``study_uid``, ``accession``.
    salt : str
        Key of the patients' pseudonyms; the same salt gives the same pseudonyms another time.

    Raises
    ------
    DataError
        No DICOM file, one that cannot be read, a table without a key or with a film twice, an unknown label, or no
        film that both know.
    """
    paths = [path for path in find_films(folder) if is_dicom(path)]
    if not paths:
        raise DataError(f"{folder} holds no DICOM file", hint="cxrd dataset folder or csv read pictures")
    lines = read_table(labels, ("label",))
    key = next((name for name in ("file", *KEYS) if name in lines[0]), "")
    if not key:
        raise DataError(f"{labels} names no films", hint=f"one column of: file, {', '.join(KEYS)}")
    words = parse_map(mapping)
    about = task_for(task, dict.fromkeys(line["label"] for line in lines), words)
    cells = _cells(labels, lines, key)
    check = load(SHIPPED)
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    met: set[str] = set()
    for path in paths:
        header = _header(path)
        name = path.relative_to(folder).as_posix() if key == "file" else text(header, KEYS[key])
        met.add(name)
        if name not in cells:
            left_out["without a label"] += 1
        elif refused := _refused(path, header, check):
            left_out[f"not admitted: {refused}"] += 1
        else:
            number, word = cells[name]
            label = {column_of(about): cell_of(about, word, words, f"{labels} row {number} ({name})")}
            rows.append(row_of(header, path, label, salt))
    told: dict[str, str | int | float | bool | None] = {
        "folder": folder.name, "labels": labels.name, "key": key, "task": about.id if about else "",
        "map": "; ".join(mapping),
    }  # fmt: skip
    left_out[f"rows of {labels.name} that name no file"] = len(cells.keys() - met)
    return Draft(builder="dicom", rows=tuple(rows), arguments=told, left_out=dict(+left_out))


def _refused(path: Path, header: Dataset, check: ContentCheck | None) -> str:
    """Coded reason for which the daemon, by the rules that come with it, would not judge a film; "" where it would."""
    try:
        view = judge(header).view
    except Refused as refused:
        return str(refused.reason)
    if check is None:
        return ""
    (shown,) = check.look(apply(check.preprocess, upright_pixels(path))[None])
    contradicted = contradiction(shown, view, SHIPPED)
    return "" if contradicted is None else str(contradicted.reason)


def _cells(labels: Path, lines: Sequence[dict[str, str]], key: str) -> dict[str, tuple[int, str]]:
    """Row and label of each film or study; an empty label is none."""
    cells: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, 2):
        if not line["label"]:
            continue
        if not line[key]:
            raise DataError(f"{labels} row {number}: {key} is empty", hint="fill it, or remove the row")
        if line[key] in cells:
            raise DataError(f"{labels} row {number}: {key} {line[key]!r} is in row {cells[line[key]][0]} too")
        cells[line[key]] = (number, line["label"])
    return cells


def _header(path: Path) -> Dataset:
    try:
        return read_header(path)
    except (OSError, CxrdError) as fault:
        raise DataError(f"{path} cannot be read: {fault}", hint="mend or remove the file") from fault


def row_of(header: Dataset, path: Path, labels: dict[str, str], salt: str) -> Row:
    """Row of a film by its header; where the header names no patient, the study stands for one."""
    person = text(header, "PatientID")
    issuer = text(header, "IssuerOfPatientID")
    study = text(header, "StudyInstanceUID")
    return Row(
        file=str(path),
        source=text(header, "Manufacturer") or "dicom",
        labels=labels,
        patient_id=pseudonym(salt, f"{issuer}\\{person}" if person else study),
        view=text(header, "ViewPosition").upper(),
        age=years(text(header, "PatientAge")),
        sex=sex_of(text(header, "PatientSex")),
        orig_file=pseudonym(salt, text(header, "SOPInstanceUID")),
    )
