"""ARCHITECTURE.md says which test proves each row of the failure matrix, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cxrd.crashpoints import POINTS

NODE = re.compile(r"`(test_\w+\.py)::(test_\w+)(?:\[\w+-(\w+)\])?`")


def rows(root: Path) -> list[str]:
    """Lines of the matrix."""
    matrix = (root / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Failure matrix")[1].split("\n## ")[0]
    return [line for line in matrix.splitlines() if line.startswith("| ") and not line.startswith("| fault at")]


def missing(root: Path, row: str) -> list[str]:
    """What a row names that is not there."""
    return [
        f"{file}::{name}"
        for file, name, point in NODE.findall(row)
        if not any(f"\ndef {name}(" in path.read_text(encoding="utf-8") for path in (root / "tests").rglob(file))
        or (point and point not in POINTS)
    ]


def test_every_row_names_tests_that_are_there(root: Path) -> None:
    """By the name of the file; two folders may have one of that name."""
    found = rows(root)
    assert len(found) >= 25
    for row in found:
        *_, named, _ = row.split("|")
        assert NODE.findall(named), f"no test in: {row}"
        assert not NODE.sub("", named).strip(" ,"), f"not a test: {named}"
        assert [] == missing(root, row)


def test_every_crash_point_around_a_commit_or_a_send_is_in_some_row(root: Path) -> None:
    """But for those that only repeat what another stage proves."""
    named = {point for row in rows(root) for _, _, point in NODE.findall(row)}
    repeated = {p for p in POINTS if p.endswith(("_claimed", "_after_commit")) or p.startswith("seal_")}
    assert set() == set(POINTS) - named - repeated


@pytest.mark.parametrize(
    "name",
    [
        "test_nowhere.py::test_a_storm",
        "test_storm.py::test_of_yesterday",
        "test_crash_points.py::test_a_crash_here_costs_nothing[sqlite-nowhere]",
    ],
)
def test_a_test_that_is_not_there_is_found(root: Path, name: str) -> None:
    """The test above would see a row that time has left behind."""
    assert missing(root, f"| fault | next | `{name}` |")
