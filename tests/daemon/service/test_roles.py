"""A role that cannot start says why, in one line."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from cxrd.service.roles import EXIT_CANNOT_START, run_role
from cxrd.settings import Database, Settings, Storage


def test_a_payload_store_that_cannot_be_opened_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback for each restart of each role would hide what to do."""
    (tmp_path / "file").touch()
    settings = Settings(
        database=Database(url=f"sqlite:///{tmp_path}/cxrd.db"), storage=Storage(dir=tmp_path / "file" / "payload")
    )
    context = multiprocessing.get_context("spawn")
    _ours, theirs = context.Pipe()
    process = context.Process(target=run_role, args=(settings, "tick", "w", 0, "", theirs))
    process.start()
    process.join()
    said = capfd.readouterr().err
    assert EXIT_CANNOT_START == process.exitcode
    assert "check its owner" in said
    assert "Traceback" not in said
