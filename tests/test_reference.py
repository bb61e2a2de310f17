"""The reference pages say what the program does, and every command says how it is used."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cxrd.cli import app, training
from cxrd.cli.reference import commands, settings


def walk(command: Any, name: str = "cxrd") -> Iterator[tuple[str, Any]]:
    """Every command of the tree."""
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from walk(inner, f"{name} {part}")
    else:
        yield name, command


TREE = dict(walk(get_command(app)))


@pytest.mark.parametrize(("page", "text"), [("cli", commands(app)), ("configuration", settings())])
def test_a_reference_page_is_what_the_program_prints(root: Path, page: str, text: str) -> None:
    """`make reference` writes it anew."""
    assert text == (root / f"docs/reference/{page}.md").read_text(encoding="utf-8")


def test_every_key_has_a_meaning() -> None:
    """Nothing can be set of which nobody says what it does."""
    rows = [line.split(" | ") for line in settings().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [] == [row[0] for row in rows if len(row[-1].strip("| ")) < 5]


@pytest.mark.parametrize("name", TREE)
def test_every_command_says_how_it_is_used(name: str) -> None:
    """With an example, and a sentence for each argument and option."""
    assert f"Example: {name}" in " ".join(TREE[name].help.split())
    assert [] == [p.name for p in TREE[name].params if not getattr(p, "help", None)]


def test_every_table_can_be_read_by_a_program() -> None:
    """What prints rows takes --json."""
    tables = [n for n, c in TREE.items() if "printing.rows" in inspect.getsource(inspect.unwrap(c.callback))]
    assert len(tables) > 5
    assert [] == [n for n in tables if "--json" not in {o for p in TREE[n].params for o in p.opts}]


def test_the_trainers_commands_are_in_the_tree() -> None:
    """Though their options belong to the trainer."""
    assert {f"cxrd {name}" for name in training.COMMANDS} <= TREE.keys()
