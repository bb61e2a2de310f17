"""A worker that cannot prove that it is alive leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text

from cxrd.errors import StoreError
from cxrd.store.database import Database
from cxrd.work.heartbeat import EXIT_NO_HEARTBEAT, Heartbeat
from support.rows import arrive, claim, rows


class Hanging:
    """A database behind a black hole: every write waits, whatever its timeouts say."""

    def __init__(self) -> None:
        self.never = Event()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Wait for ever."""
        self.never.wait()
        raise StoreError("gone")
        yield

    def now(self, _connection: Connection) -> float:
        """Not reached."""
        return 0.0


class Failing(Hanging):
    """A database that answers with an error."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Fail at once."""
        raise StoreError("away")
        yield


def left(database: Any) -> int:
    """Exit code with which a worker on this database leaves."""
    codes: Queue[int] = Queue()
    heartbeat = Heartbeat(database, "w1", 0.3, leave=codes.put)
    heartbeat.start()
    try:
        return codes.get(timeout=20)
    finally:
        heartbeat.stop()


def test_it_leaves_when_the_database_hangs() -> None:
    """TCP timeouts do not end such a hang; the watcher does."""
    hanging = Hanging()
    assert EXIT_NO_HEARTBEAT == left(hanging)
    hanging.never.set()


def test_it_leaves_when_the_database_refuses() -> None:
    """Errors are survived for a while, not for a lease."""
    assert EXIT_NO_HEARTBEAT == left(Failing())


def test_a_beat_renews_every_lease_of_its_worker(database: Database) -> None:
    """And nobody else's."""
    arrive(database, 1, study_uid="1.1")
    arrive(database, 2, study_uid="1.2")
    claim(database, limit=1, lease_s=5)
    claim(database, limit=1, lease_s=5, owner="w2")
    with database.write() as connection:
        connection.execute(text("UPDATE job SET lease_until = 0"))
    heartbeat = Heartbeat(database, "w1", 60, leave=lambda _code: None)
    heartbeat.start()
    while not rows(database, "SELECT id FROM job WHERE lease_until > 0"):
        pass
    heartbeat.stop()
    assert [("w1",)] == rows(database, "SELECT owner FROM job WHERE lease_until > 0")


def test_a_role_that_holds_no_work_stays() -> None:
    """A listener goes on answering 0xA700 while the database is away."""
    codes: Queue[int] = Queue()
    heartbeat = Heartbeat(cast("Database", Failing()), "w1", 0.3, leave=codes.put, holds_work=False)
    heartbeat.start()
    with pytest.raises(Empty):
        codes.get(timeout=1)
    heartbeat.stop()
