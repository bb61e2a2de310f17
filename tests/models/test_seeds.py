"""models/SEEDS.md tells where every feature of the five seeds is, and what it names is there."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SEEDS = "models/SEEDS.md"
COUNTS = {"F000": 74, "F001": 96, "F002": 68, "F003": 78, "F004": 79}
DECISIONS = {"KEEP": 322, "FIX": 9, "OPT": 11, "REPLACE": 33, "DOC": 19, "DROP": 1}
PLACE = re.compile(r"`([\w./-]+)::([^`]+)`")
MISSING = re.compile(r"(not delivered|in part)(?:: (\S+ \S+))?")


class Row(NamedTuple):
    """One line of a table."""

    id: str
    feature: str
    decision: str
    where: str


def rows(root: Path) -> list[Row]:
    """Every line of the tables, in the file's order."""
    lines = (root / SEEDS).read_text(encoding="utf-8").splitlines()
    return [Row(*(c.strip() for c in line.strip("|").split(" | "))) for line in lines if line.startswith("| F0")]


def test_every_feature_has_one_row(root: Path) -> None:
    """Numbered without a gap in each seed, and each decision as often as it was taken."""
    found = rows(root)
    assert [f"{seed}-{n:02d}" for seed, count in COUNTS.items() for n in range(1, count + 1)] == [r.id for r in found]
    assert Counter(r.decision for r in found) == DECISIONS
    assert all(r.feature for r in found)


def test_every_place_exists(root: Path) -> None:
    """The file is there and defines what the row names."""
    nowhere = [f"{r.id}: {path}::{name}" for r in rows(root) for path, name in PLACE.findall(r.where)
               if not defines(root / path, name)]  # fmt: skip
    assert [] == nowhere


def test_every_row_names_a_place_or_a_reason(root: Path) -> None:
    """What is delivered is somewhere; what is not, or not wholly, says why in a few words."""
    for row in rows(root):
        said = MISSING.findall(row.where)
        assert all(reason for _, reason in said), f"{row.id} gives no reason: {row.where}"
        assert PLACE.search(row.where) or any(word == "not delivered" for word, _ in said), f"{row.id} is nowhere"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/cxrd_models/recipe.py", "Phase.no_such_option"),
        ("models/cxrd_models/recipe.py", "patience"),  # an option of Phase, not of the module
        ("models/cxrd_models/no_such_file.py", "Phase"),
        ("config/train/charm.toml", "no_such_key"),
        ("README.md", "No such heading"),
        ("Makefile", "no-such-target"),
    ],
)
def test_a_place_that_is_not_there_is_found(root: Path, path: str, name: str) -> None:
    """The tests above would see a row that time has left behind."""
    assert not defines(root / path, name)


def defines(file: Path, name: str) -> bool:
    """Whether a file defines a name.

    Python: a dotted definition, assignment, attribute or argument, or a whole string; TOML: a key or a value;
    Markdown: a heading; anything else: the words as they stand.
    """
    if not file.is_file():
        return False
    match file.suffix:
        case ".py":
            return name in _python(file)
        case ".toml":
            return name in _toml(file)
        case ".md":
            return f"# {name}\n" in file.read_text(encoding="utf-8")
        case _:
            return re.search(rf"\b{re.escape(name)}\b", file.read_text(encoding="utf-8")) is not None


@cache
def _python(file: Path) -> frozenset[str]:
    return frozenset(_names(ast.parse(file.read_text(encoding="utf-8")), ""))


def _names(node: ast.AST, scope: str) -> Iterator[str]:
    """Dotted names that a module, class or function defines; ``self.x`` belongs to the class."""
    for child in ast.iter_child_nodes(node):
        inner = scope
        match child:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield scope + name
                inner = f"{scope}{name}."
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield scope + name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield scope.rsplit(".", 2)[0] + f".{name}"
            case ast.Constant(value=str(text)):
                yield text
            case _:
                pass
        yield from _names(child, inner)


@cache
def _toml(file: Path) -> frozenset[str]:
    return frozenset(_keys(tomllib.loads(file.read_text(encoding="utf-8"))))


def _keys(value: Any) -> Iterator[str]:
    match value:
        case dict():
            yield from value
            for part in value.values():
                yield from _keys(part)
        case list():
            for part in value:
                yield from _keys(part)
        case str():
            yield value
        case _:
            pass
