"""What a role is to its node: it starts or says why, and says what it serves."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from cxrd import settings as s
from cxrd.demo.pacs import StandInPacs
from cxrd.peers import Destination
from cxrd.service import role_deliver
from cxrd.service.roles import EXIT_CANNOT_START, Parts, run_role
from cxrd.settings import Settings
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from support.deliveries import waiting
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


@pytest.mark.parametrize(("how", "left"), [(signal.SIGTERM, []), (signal.SIGKILL, [("w",)])])
def test_a_role_that_leaves_in_order_is_known_no_longer(
    how: signal.Signals, left: list[tuple[str]], database: Database, tmp_path: Path
) -> None:
    """On several hosts nobody else forgets it for a day; one that was killed is for its supervisor to bury."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(database=s.Database(url=url), storage=s.Storage(dir=tmp_path / "payload"))
    context = multiprocessing.get_context("spawn")
    _ours, theirs = context.Pipe()
    process = context.Process(target=run_role, args=(settings, "tick", "w", 0, "", theirs))
    process.start()
    until(lambda: rows(database, "SELECT id FROM worker"), seconds=120, what="the role works")
    os.kill(process.pid or 0, how)
    process.join()
    assert (0 if how is signal.SIGTERM else -how) == process.exitcode
    assert left == rows(database, "SELECT id FROM worker")


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


def test_a_peer_that_takes_its_time_to_commit_holds_up_no_other(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """The second is asked and answers while the first has a question in its hands."""
    answering, stop, took = Event(), Event(), Event()
    slow, fast = (StandInPacs(tmp_path / name, "P", behave=b) for name, b in (("slow", ok), ("fast", after(took))))

    def think(_uid: str, _n: int) -> int:
        answering.wait(120)
        return 0

    slow.commitments.judge = think
    for pacs in (slow, fast):
        pacs.folder.mkdir()
        pacs.start()
    told = {"ae_title": "P", "host": "127.0.0.1", "commit": True, "timeout_s": 120, "send": ("sr",)}
    places = tuple(Destination(name=p.folder.name, port=p.port, **told) for p in (slow, fast))
    settings = Settings(destinations=places, delivery=s.Delivery(backoff_base_s=0.01, backoff_cap_s=0.01))
    parts = Parts(
        settings, database, payload, Metrics(), "w", "", (), follow=lambda _: None, ready=lambda: None, stop=stop
    )
    waiting(database, payload, dests=("slow", "fast"))
    role = Thread(target=role_deliver.run, args=(parts,))
    role.start()
    try:
        until(lambda: slow.commitments.asked, seconds=60, what="the slow one is asked")
        took.set()
        until(
            lambda: rows(database, "SELECT dest FROM delivery WHERE committed_at IS NOT NULL") == [("fast",)],
            seconds=60,
            what="the fast one has committed",
        )
    finally:
        answering.set()
        stop.set()
        role.join()
        for pacs in (slow, fast):
            pacs.stop()


def ok(_uid: str, _receipt: int) -> int:
    """Take everything."""
    return 0x0000


def after(took: Event) -> Callable[[str, int], int]:
    """Take nothing before that."""
    return lambda _uid, _receipt: 0x0000 if took.is_set() else 0xA700
