"""``cxrd backfill``, as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cxrd.cli import app
from cxrd.demo.pacs import StandInPacs
from cxrd.errors import ConfigError, CxrdError
from cxrd.store.database import Database
from support.fetching import old_film
from support.rows import rows


@pytest.fixture
def config(tmp_path: Path, pacs: StandInPacs) -> str:
    """A configuration with one archive."""
    path = tmp_path / "cxrd.toml"
    path.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/cxrd.db"\n[[archives]]\nname = "old"\nae_title = "PACS"\n'
        f'host = "127.0.0.1"\nport = {pacs.port}\nstudies_per_minute = 1\n'
    )
    Database(f"sqlite:///{tmp_path}/cxrd.db").upgrade()
    return str(path)


def backfill(config: str, *words: str) -> Any:
    """Run a command."""
    return CliRunner().invoke(app, ["backfill", *words, "--config", config])


def lines(result: Any) -> list[dict[str, Any]]:
    """Its JSON lines."""
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in result.output.splitlines()]


@pytest.mark.parametrize("word", ["start", "ls", "show", "pause", "resume", "cancel"])
def test_help_has_an_example(word: str) -> None:
    """Every command shows how it is called."""
    assert f"Example: cxrd backfill {word}" in " ".join(
        CliRunner().invoke(app, ["backfill", word, "-h"]).output.split()
    )


def test_a_dry_run_counts_and_begins_nothing(config: str, tmp_path: Path, pacs: StandInPacs) -> None:
    """Slice by slice, and how long it would take."""
    for day in ("20200103", "20200104", "20200131"):
        old_film(pacs.folder, day=day)
    asked = ("start", "old", "--from", "20200101", "--to", "20200131", "--days", "16", "--dry-run")
    assert [
        {"dates": "20200116-20200131", "studies": 1, "here": 0},
        {"dates": "20200101-20200115", "studies": 2, "here": 0},
    ] == lines(backfill(config, *asked, "--json"))
    assert "3 studies; at 1 a minute at least 0.1 h" in " ".join(backfill(config, *asked).output.split())
    assert [] == rows(Database(f"sqlite:///{tmp_path}/cxrd.db"), "SELECT id FROM backfill")


def test_it_is_begun_listed_paused_resumed_and_cancelled(config: str, tmp_path: Path) -> None:
    """Each told in the audit trail with who wanted it."""
    begun = backfill(config, "start", "old", "--from", "20200101", "--to", "20200131", "--days", "10")
    assert "begins with 20200122-20200131" in begun.output
    (row,) = lines(backfill(config, "ls", "--json"))
    assert ("old", "running", "0 %", 4, None) == (
        row["archive"], row["state"], row["searched"], len(row["slices"]), row["eta_s"],
    )  # fmt: skip
    assert 0 == backfill(config, "pause", "old").exit_code
    assert "paused" == lines(backfill(config, "ls", "--json"))[0]["state"]
    assert 0 == backfill(config, "resume", "old").exit_code
    assert 0 == backfill(config, "cancel", "old").exit_code
    assert "cancelled" in backfill(config, "ls").output
    assert [] == lines(backfill(config, "show", "old", "--json"))
    told = rows(Database(f"sqlite:///{tmp_path}/cxrd.db"), "SELECT what, actor FROM audit ORDER BY id")
    expected = ["backfill_started", "destination_paused", "destination_resumed", "backfill_cancelled"]
    assert [(what, "operator") for what in expected] == told


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("start", "none", "--from", "20200101"), ConfigError, "archives]] are: old"),
        (("start", "old", "--from", "2020-01-01"), ConfigError, "for example 20200131"),
        (("start", "old", "--from", "20200201", "--to", "20200101"), ConfigError, "is before"),
        (("pause", "old"), CxrdError, "no backfill that is not finished"),
        (("cancel", "old"), CxrdError, "no backfill that is not finished"),
        (("show", "old"), CxrdError, "has had no backfill"),
    ],
)
def test_what_cannot_be_done_is_said(config: str, words: tuple[str, ...], error: type[CxrdError], said: str) -> None:
    """With what to do."""
    result = backfill(config, *words)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


def test_one_at_a_time(config: str) -> None:
    """A second one of the same archive waits for the end of the first."""
    begin = ("start", "old", "--from", "20200101", "--to", "20200131")
    assert 0 == backfill(config, *begin).exit_code
    assert "not finished" in str(backfill(config, *begin).exception)
