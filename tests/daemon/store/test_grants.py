"""The role of deploy/postgres.sql works on everything and changes nothing of the past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from cxrd.errors import StoreError
from cxrd.store import audit, jobs
from cxrd.store.database import Database
from support.database import postgres_url
from support.rows import arrive, claim, rows


@pytest.fixture
def worker(root: Path) -> Iterator[Database]:
    """A database whose tables another role owns."""
    role = f"cxrd_worker_{uuid4().hex[:8]}"
    grants = (root / "deploy" / "postgres.sql").read_text(encoding="utf-8").replace("cxrd_worker", role)
    with postgres_url() as url:
        owner = Database(url)
        owner.upgrade()
        with owner.write() as connection:
            connection.execute(text(grants))
        limited = Database(f"{url}?options=-c%20role%3D{role}")
        yield limited
        limited.dispose()
        with owner.write() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
        owner.dispose()


def test_a_worker_does_its_work(worker: Database) -> None:
    """From an image to a sealed row."""
    arrive(worker)
    (held,) = claim(worker)
    with worker.write() as connection:
        now = worker.now(connection)
        jobs.register_worker(connection, now, "w1", role="infer", version="0")
        jobs.finish(connection, now, held)
        assert 1 == audit.seal(connection, now)
    worker.check_schema()
    with worker.read() as connection:
        assert () == audit.verify(connection).faults


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET subject = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE seal SET root_hash = 'x'",
        "DELETE FROM seal",
        "UPDATE alembic_version SET version_num = '0001'",
    ],
)
def test_a_worker_changes_nothing_of_the_past(worker: Database, statement: str) -> None:
    """Whatever a worker is made to do, the trail stays what it was."""
    arrive(worker)
    with pytest.raises(StoreError, match="permission denied"), worker.write() as connection:
        connection.execute(text(statement))
    assert [("instance_stored",)] == rows(worker, "SELECT what FROM audit")


def test_a_forgotten_transaction_is_ended() -> None:
    """By the server, within a minute: it would keep rows locked, and dead rows from being cleaned up."""
    with postgres_url() as url:
        database = Database(url)
        with database.read() as connection:
            told = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
        database.dispose()
    assert "1min" == told
