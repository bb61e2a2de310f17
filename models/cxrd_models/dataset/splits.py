"""Who trains, who tunes, who judges: by patient, in equal shares of label and source, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from cxrd_models.data.manifest import SPLITS
from cxrd_models.dataset.rows import MULTILABEL, Row
from cxrd_models.errors import DataError

SMALL = 10
"""Patients below which the films of a label are not told apart by source: a share of three patients is noise."""

WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
Stratum = tuple[str, ...]


def split_word(text: str) -> str:
    """The split that a folder's name or a cell means; "" when it means none."""
    return WORDS.get(text.strip().lower(), "")


def parse_ratios(text: str) -> dict[str, float]:
    """Shares of train, val and test as ``0.8,0.1,0.1``.

    Raises
    ------
    DataError
        Not three positive numbers.
    """
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) != len(SPLITS) or not all(0 < part < float("inf") for part in parts):
        raise DataError(f"ratios {text!r} are not three positive numbers", hint="for example 0.8,0.1,0.1")
    return {name: part / sum(parts) for name, part in zip(SPLITS, parts, strict=True)}


def settle(rows: Sequence[Row], ratios: Mapping[str, float], seed: int) -> tuple[Row, ...]:
    """Every row with a split: what a row brings is kept, the rest is divided.

    Where a source brings train and test alone, val is taken from its train patients.

    Raises
    ------
    DataError
        A patient is given to two splits.
    """
    given = _given(rows)
    if set(given.values()) == {"train", "test"} and all(row.patient_id in given for row in rows):
        reopened = [row for row in rows if given.get(row.patient_id) == "train"]
        given |= divide(reopened, {name: ratios[name] for name in ("train", "val")}, seed)
    unsaid = [row for row in rows if row.patient_id not in given]
    home = given | divide(unsaid, ratios, seed)
    return tuple(row.model_copy(update={"split": home[row.patient_id]}) for row in rows)


def _given(rows: Sequence[Row]) -> dict[str, str]:
    """Split of each patient of whom a row brings one."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.split and first.setdefault(row.patient_id, row).split != row.split:
            other = first[row.patient_id]
            raise DataError(
                f"patient {row.patient_id} is given to two splits: {other.orig_file or other.file} to {other.split}, "
                f"{row.orig_file or row.file} to {row.split}",
                hint="--resplit divides all films anew; or mend the table, or tell patients apart with --patient",
            )
    return {patient: row.split for patient, row in first.items()}


def divide(rows: Sequence[Row], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give each patient to a split.

    Parameters
    ----------
    rows : sequence of Row
        Films; what they say about a split is not looked at.
    ratios : mapping
        Share of the films that each split should hold.
    seed : int
        The same seed and the same films give the same splits, in whatever order the films come.

    Returns
    -------
    dict
        Split of each patient.
    """
    films = Counter(row.patient_id for row in rows)
    home: dict[str, str] = {}
    for stratum, patients in sorted(_strata(rows).items()):
        order = sorted(patients)
        random.Random(f"{seed}/{stratum}").shuffle(order)  # noqa: S311 - shares, not secrets
        order.sort(key=lambda patient: -films[patient])  # who brings many films is placed while there is room
        every = sum(films[patient] for patient in order)
        target = {name: ratio / sum(ratios.values()) * every for name, ratio in ratios.items()}
        held = dict.fromkeys(ratios, 0)
        for left, patient in zip(range(len(order), 0, -1), order, strict=True):
            split = _choose(target, held, films[patient], left)
            held[split] += films[patient]
            home[patient] = split
    return home


def _choose(target: Mapping[str, float], held: Mapping[str, int], films: int, left: int) -> str:
    """Split of the next patient of a stratum, who brings so many films when so many patients are left.

    It is the split that lacks the largest part of its share, of those that the films do not overfill (else the one
    with most room); as soon as no more patients are left than splits are empty, an empty one. An equal lack goes to
    train, then val, then test.
    """
    empty = [name for name in target if not held[name]]
    among = empty if left <= len(empty) else list(target)
    fitting = [name for name in among if held[name] + films <= target[name]]
    if fitting:
        return max(fitting, key=lambda name: 1 - held[name] / target[name])
    return max(among, key=lambda name: target[name] - held[name])


def _strata(rows: Sequence[Row]) -> dict[Stratum, list[str]]:
    """Patients that count as alike: their rarest label, and their source where enough share both."""
    frequency = Counter(one for row in rows for one in row.classes())
    label: dict[str, tuple[str, str]] = {}
    source: dict[str, str] = {}
    for row in rows:
        mine = sorted(row.classes(), key=lambda one: (frequency[one], one))[:1]
        rarest = label.get(row.patient_id)
        key = mine[0] if mine else ("", "")
        if rarest is None or (frequency[key] or len(rows) + 1, key) < (frequency[rarest] or len(rows) + 1, rarest):
            label[row.patient_id] = key
        source[row.patient_id] = min(source.get(row.patient_id, row.source), row.source)
    fine = Counter((*label[patient], source[patient]) for patient in label)
    strata: dict[Stratum, list[str]] = defaultdict(list)
    for patient, key in label.items():
        full = (*key, source[patient])
        strata[full if fine[full] >= SMALL else key].append(patient)
    return strata


def check_classes(rows: Sequence[Row]) -> tuple[str, ...]:
    """See that every class of a column that takes one label is in every split.

    Returns
    -------
    tuple of str
        What is missing from the column of many labels, where a rare sign may well be.

    Raises
    ------
    DataError
        A split lacks a class, or there is no film in it.
    """
    count = Counter((row.split, *one) for row in rows for one in row.classes())
    missing = []
    for split in SPLITS:
        if not any(row.split == split for row in rows):
            raise DataError(
                f"no film of {len(rows)} is in split {split}",
                hint="bring more patients, or --resplit where the source brings no such split",
            )
        missing += [(split, column, word) for _, column, word in sorted(count) if not count[split, column, word]]
    missing = list(dict.fromkeys(missing))
    for split, column, word in missing:
        if column != MULTILABEL:
            patients = len({row.patient_id for row in rows if (column, word) in row.classes()})
            raise DataError(
                f"class {word!r} of {column} is absent from split {split}; patients who show it: {patients}",
                hint="three patients of a class are the least; or say --resplit, or other --ratios",
            )
    return tuple(f"no {word} in {split}" for split, _, word in missing)
