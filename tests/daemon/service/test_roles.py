"""What a role is to its node: it starts or says why, and says what it serves."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from cxrd import settings as s
from cxrd.peers import Destination
from cxrd.service import role_deliver
from cxrd.service.roles import EXIT_CANNOT_START, Parts, run_role
from cxrd.settings import Settings
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from support.node import until
from support.rows import rows


def test_a_payload_store_that_cannot_be_opened_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback for each restart of each role would hide what to do."""
    (tmp_path / "file").touch()
    settings = Settings(
        database=s.Database(url=f"sqlite:///{tmp_path}/cxrd.db"), storage=s.Storage(dir=tmp_path / "file" / "payload")
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


def test_a_deliver_role_says_again_and_again_which_destinations_it_serves(
    database: Database, payload: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts whose configuration does not name a new one yet leave its deliveries alone; a reload brings it at once."""
    monkeypatch.setattr(role_deliver, "SAY_S", 0.05)
    followers: list[Callable[[Settings], None]] = []
    stop = Event()
    first, second = (Destination(name=name, ae_title="P", host="127.0.0.1", port=1) for name in ("first", "second"))
    settings = Settings(destinations=(first,))
    parts = Parts(
        settings, database, payload, Metrics(), "w", "", (), follow=followers.append, ready=lambda: None, stop=stop
    )
    role = Thread(target=role_deliver.run, args=(parts,))

    def seen() -> dict[str, Any]:
        return dict(rows(database, "SELECT name, seen_at FROM dest"))

    role.start()
    try:
        until(lambda: followers, seconds=60, what="the role works")
        before = seen()
        assert ["first"] == list(before)
        until(lambda: seen()["first"] > before["first"], seconds=60, what="the role says it again")
        followers[0](Settings(destinations=(first, second)))
        before = seen()
        assert before["second"]
        until(lambda: seen()["second"] > before["second"], seconds=60, what="the role says both")
    finally:
        stop.set()
        role.join()
