"""A trail that shows when it was touched."""

from __future__ import annotations

from queue import Queue
from threading import Thread

import pytest
from sqlalchemy import text

from cxrd.store import audit
from cxrd.store.database import Database
from support.rows import arrive, rows

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def seal(database: Database) -> int:
    """Seal what is open."""
    with database.write() as connection:
        return audit.seal(connection, database.now(connection))


def faults(database: Database) -> list[str]:
    """What verification says."""
    with database.read() as connection:
        return list(audit.verify(connection).faults)


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


@pytest.mark.parametrize("sealed", [True, False])
def test_the_row_that_was_changed_is_named(database: Database, sealed: bool) -> None:  # noqa: FBT001 - a parameter
    """The first of them first, with what it told and of whom."""
    arrive(database, 1, 2, 3)
    if sealed:
        seal(database)
    with database.write() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE subject = '1.2.3.2'"))
    ((second,),) = rows(database, "SELECT id FROM audit WHERE subject = '1.2.3.2'")
    assert [f"row {second} (instance_stored of 1.2.3.2) is not as it was written"] == faults(database)


def test_a_row_of_an_older_version_is_judged_by_its_seal(database: Database) -> None:
    """It has no hash of its own; a changed one is known to be among those of its seal."""
    arrive(database, 1, 2)
    with database.write() as connection:
        connection.execute(text("UPDATE audit SET digest = NULL"))
    seal(database)
    assert [] == faults(database)
    with database.write() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE subject = '1.2.3.2'"))
    (fault,) = faults(database)
    assert "rows 1 to 2 under seal 1" in fault


def test_a_trail_that_was_cut_off_is_told_by_a_hash_noted_elsewhere(database: Database) -> None:
    """What is left of the chain holds, so only who noted its head can tell."""
    arrive(database, 1)
    seal(database)
    arrive(database, 2)
    seal(database)
    with database.read() as connection:
        noted = audit.verify(connection)
        assert (2, 2, 0) == (noted.seals, noted.rows, noted.unsealed)
        assert () == audit.verify(connection, head=noted.head).faults
    with database.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE seal_id = 2"))
        connection.execute(text("DELETE FROM seal WHERE id = 2"))
    with database.read() as connection:
        assert () == audit.verify(connection).faults
        (fault,) = audit.verify(connection, head=noted.head).faults
    assert "cut off" in fault


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
