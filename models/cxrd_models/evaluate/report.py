"""The report of an evaluation: one HTML page with everything in it, to be read, printed or mailed."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cxrd_models.evaluate import words
from cxrd_models.evaluate.bundle import Evaluation, Subject
from cxrd_models.evaluate.panels import Rgb, jpeg
from cxrd_models.evaluate.subgroups import Subgroup

_TEMPLATE = "report.html.j2"


class Shown(NamedTuple):
    """A panel and its words."""

    file: str
    caption: str
    right: bool
    picture: Rgb


class _Row(NamedTuple):
    group: str
    films: int
    cells: tuple[Subgroup, ...]


def report(found: Evaluation, subject: Subject, pictures: dict[str, bytes], panels: tuple[Shown, ...], day: str) -> str:
    """Write the page.

    Parameters
    ----------
    pictures : dict of str to bytes
        PNG by name: "roc", "pr", "reliability", "confusion".
    panels : tuple of Shown
        Films with their heat.
    day : str
        Date of the evaluation.
    """
    rooms = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt field must fail, not vanish from a clinical report
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rooms.filters.update(inline=_inline, figure=words.figure, hundred=words.of_hundred, alone=words.alone)
    rooms.filters.update(name=words.name, photo=_photo)
    judged = [pair for pair in zip(found.classes, found.operating, strict=True) if pair[0].class_id in found.judged]
    return rooms.get_template(_TEMPLATE).render(
        found=found,
        declared=subject.declared,
        data=subject.manifest.folder.resolve().name,
        day=day,
        people={attribute: _counted(list(map(str, groups))) for attribute, groups in subject.groups.items()},
        judged=judged,
        silent=[c for c in subject.declared.classes if not c.reported],
        rows=_rows(found.subgroups),
        pictures=pictures,
        panels=panels,
        words=words,
    )


def _counted(groups: list[str]) -> list[tuple[str, int, float]]:
    """Group, films and percentage."""
    return [(group, count, 100 * count / len(groups)) for group, count in sorted(Counter(groups).items())]


def _rows(found: tuple[Subgroup, ...]) -> dict[str, list[_Row]]:
    """Groups of each attribute that splits the films at all, every row with the classes in one order."""
    table: dict[str, dict[str, list[Subgroup]]] = {}
    for each in found:
        table.setdefault(each.attribute, {}).setdefault(each.group, []).append(each)
    return {
        attribute: [_Row(group, cells[0].films, tuple(cells)) for group, cells in groups.items()]
        for attribute, groups in table.items()
        if len(groups) > 1
    }


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _photo(picture: Rgb) -> str:
    return "data:image/jpeg;base64," + b64encode(jpeg(picture)).decode("ascii")
