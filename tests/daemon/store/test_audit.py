"""A trail that shows when it was touched."""

from __future__ import annotations

from queue import Queue
from threading import Thread

import pytest
from sqlalchemy import text

from cxrd.store import audit
from cxrd.store.database import Database
from support.rows import arrive

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def seal(database: Database) -> int:
    """Seal what is open."""
    with database.write() as connection:
        return audit.seal(connection, database.now(connection))


def faults(database: Database) -> list[str]:
    """What verification says."""
    with database.read() as connection:
        return audit.verify(connection)


def test_seals_follow_each_other(database: Database) -> None:
    """Every row under one seal, each seal after the last."""
    arrive(database, 1, 2)
    assert [2, 0] == [seal(database), seal(database)]
    arrive(database, 3)
    assert 1 == seal(database)
    assert [] == faults(database)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET subject = 'other' WHERE id = (SELECT min(id) FROM audit)",
        "UPDATE audit SET detail = '{}' WHERE id = (SELECT max(id) FROM audit)",
        "UPDATE audit SET at = at + 1 WHERE id = (SELECT max(id) FROM audit)",
        "DELETE FROM audit WHERE id = (SELECT min(id) FROM audit)",
        "DELETE FROM seal WHERE id = (SELECT min(id) FROM seal)",
        "DELETE FROM seal WHERE id = (SELECT max(id) FROM seal)",
        "UPDATE seal SET root_hash = prev_hash WHERE id = (SELECT min(id) FROM seal)",
    ],
)
def test_a_touched_row_is_found(database: Database, tampering: str) -> None:
    """Changed, moved in time or removed."""
    arrive(database, 1)
    seal(database)
    arrive(database, 2)
    seal(database)
    with database.write() as connection:
        connection.execute(text(tampering))
    assert faults(database)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_two_sealers_take_turns(database: Database) -> None:
    """Two nodes on one server do not seal the same rows, which would look like tampering."""
    arrive(database)
    counts: Queue[int] = Queue()
    other = Thread(target=lambda: counts.put(seal(database)))
    with database.write() as connection:
        assert 1 == audit.seal(connection, database.now(connection))
        other.start()
        with database.read() as watching:
            while not watching.execute(text(WAITING)).scalar_one():
                assert other.is_alive()
    assert 0 == counts.get(timeout=30)
    other.join()
    assert [] == faults(database)
