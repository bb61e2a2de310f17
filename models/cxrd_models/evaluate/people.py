"""On whom a package was tested: the columns of ``labels.csv`` that split films into groups of people and machines."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from cxrd_models.data.cells import read_table
from cxrd_models.data.manifest import Manifest

UNKNOWN = "unknown"
_AGES = (18, 40, 60, 80)
_SIDES = (65, 257)  # thumbnails, films at the size of a model's input, and what has real detail

Groups = dict[str, NDArray[np.str_]]


def groups_of(manifest: Manifest) -> Groups:
    """Group of every film of a manifest, [films], under "sex", "age", "view", "source" and "size".

    A film whose row does not tell belongs to the group "unknown".
    """
    rows = dict(enumerate(read_table(manifest.folder / "labels.csv"), 2))
    mine = [rows[film.row] for film in manifest.films]
    told = {
        "sex": [row.get("sex") or UNKNOWN for row in mine],
        "age": [age_band(row.get("age") or "") for row in mine],
        "view": [row.get("view") or UNKNOWN for row in mine],
        "source": [row.get("source") or UNKNOWN for row in mine],
        "size": [size_band(row.get("width") or "", row.get("height") or "") for row in mine],
    }
    return {name: np.array(groups, np.str_) for name, groups in told.items()}


def age_band(text: str) -> str:
    """Band of years of an age such as ``71``, ``61.0``, ``058Y`` or ``pediatric(1-5y)``."""
    if text.lower().startswith("p"):
        return f"0-{_AGES[0] - 1}"
    number = re.fullmatch(r"0*(\d+)(\.\d+)?\s*([YyMmWwDd]?)", text.strip())
    if not number:
        return UNKNOWN
    years = int(number[1]) if number[3].upper() in ("", "Y") else 0  # months, weeks, days: an infant
    return _band(years, _AGES)


def size_band(width: str, height: str) -> str:
    """Band of the shorter side of a stored film, in pixels."""
    if not (width.isdigit() and height.isdigit()):
        return UNKNOWN
    return _band(min(int(width), int(height)), _SIDES) + " px"


def numbered(manifest: Manifest) -> tuple[str, ...]:
    """A number for the patient of each film, as they come: it tells which films are one patient's, and nothing else.

    A hash would lead back: hospitals count their patients, and all of a million numbers are tried in a second.
    """
    numbers: dict[str, str] = {}
    return tuple(numbers.setdefault(film.patient, str(len(numbers) + 1)) for film in manifest.films)


def _band(value: int, edges: tuple[int, ...]) -> str:
    below = [edge for edge in edges if edge <= value]
    above = [edge for edge in edges if edge > value]
    low = below[-1] if below else 0
    return f"{low}-{above[0] - 1}" if above else f"{low}+"
