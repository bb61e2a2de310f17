"""What the world writes for a class, an age, a sex, a view or a patient, in the words of ``labels.csv``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from hmac import new as keyed

from cxrd_models.data.tasks import ATEL3, COVID3, GENERAL, NIH14, PAEDIATRIC, PNEUMONIA, Task, task_of
from cxrd_models.errors import DataError

OLDEST = 120

KERMANY = re.compile(r"(?P<patient>person\d+(?=_)|(?:NORMAL2-)?IM-\d+(?=-))")
"""``person23_bacteria_78`` and ``person23_virus_56`` count as one person: whether they are, nobody published."""

LATERAL = frozenset({"LL", "RL", "LLD", "RLD", "LAT", "LATERAL"})


def years(text: str) -> str:
    """Age in whole years from ``58``, ``058Y`` or ``011M`` (PS3.5 AS); "" where it is no age of a person."""
    found = re.fullmatch(r"(\d{1,3})(?:\.0*)?([DWMY]?)", text.strip().upper())
    if not found:
        return ""
    number = int(found[1])
    per_year = {"D": 365.25, "W": 52.18, "M": 12, "Y": 1, "": 1}[found[2]]
    age = int(number / per_year)
    return str(age) if age <= OLDEST else ""


def sex_of(text: str) -> str:
    """Read M or F; "" for anything else."""
    letter = text.strip().upper()[:1]
    return letter if letter in ("M", "F") else ""


def patient_by(pattern: re.Pattern[str], name: str) -> str:
    """Patient that a file's name tells: group ``patient``, else the first group, else the whole match; "" without."""
    found = pattern.search(name)
    if not found:
        return ""
    if "patient" in pattern.groupindex:
        return found["patient"] or ""
    return (found[1] if pattern.groups else found[0]) or ""


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression of the command line.

    Raises
    ------
    DataError
        It is none.
    """
    try:
        return re.compile(pattern)
    except re.error as fault:
        raise DataError(f"{pattern!r} is no regular expression: {fault}") from fault


def pseudonym(salt: str, patient: str) -> str:
    """Return a keyed hash of a patient's number: the same person again, and no way back without the salt."""
    return keyed(salt.encode(), patient.strip().encode(), sha256).hexdigest()[:16]


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Words that stand for a class, from ``Viral Pneumonia=viral``; lower case is the same word.

    Raises
    ------
    DataError
        A pair without ``=``.
    """
    found = {}
    for pair in pairs:
        word, sign, name = pair.partition("=")
        if not sign:
            raise DataError(f"{pair!r} maps nothing", hint="for example 'Viral Pneumonia=viral'")
        found[word.strip().lower()] = name.strip()
    return found


def task_for(name: str, words: Iterable[str], mapping: Mapping[str, str]) -> Task | None:
    """Return the task that labels belong to: the one named, else the first that knows them all, else none.

    Raises
    ------
    RecipeError
        The named task is unknown.
    """
    if name:
        return task_of(name)
    all_words = tuple(words)
    for task in (PAEDIATRIC, PNEUMONIA, COVID3, ATEL3, NIH14):
        if all_words and all(_known(task, word, mapping) is not None for word in all_words):
            return task
    return None


def cell_of(task: Task | None, words: str, mapping: Mapping[str, str], where: str) -> str:
    """Cell of the label column for what a source calls a film, several words parted by ``|``.

    Raises
    ------
    DataError
        The task knows no such class; says where.
    """
    if task is None:
        parts = [part.strip() for part in words.split("|")]
        return "|".join(mapping.get(part.lower(), part) for part in parts)
    cell = _known(task, words, mapping)
    if cell is None:
        known = ", ".join((*task.classes, *([task.absent] if task.absent else [])))
        raise DataError(
            f"{where}: label {words!r} is not one of {task.id}: {known}", hint="--map 'WORD=class' says what it means"
        )
    return cell


def _known(task: Task, words: str, mapping: Mapping[str, str]) -> str | None:
    spelled = {name.lower(): name for name in (*task.classes, task.absent) if name}
    parts = [part.strip().lower() for part in words.split("|")]
    meant = [mapping.get(part, part) for part in parts]
    cell = "|".join(spelled.get(word.lower(), word) for word in meant)
    try:
        task.parse(cell)
    except ValueError:
        return None
    return cell


def column_of(task: Task | None) -> str:
    """Name of the label column."""
    return task.column if task else GENERAL
