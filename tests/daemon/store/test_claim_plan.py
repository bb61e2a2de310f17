"""A claim goes down the index of what is ready, whatever lies in the table: no scan, no sort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text

from bench.claiming import fill
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind, JobState


@contextmanager
def explained(connection: Connection) -> Iterator[list[str]]:
    """The plan of each statement on the queue, as the database tells it just before it runs the statement."""
    plans: list[str] = []
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"

    def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        if " job" in statement:
            cursor.execute(f"{word} {statement}", parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    event.listen(connection, "before_cursor_execute", explain)
    yield plans
    event.remove(connection, "before_cursor_execute", explain)


def test_a_claim_uses_the_index_of_what_is_ready(database: Database) -> None:
    """Both of its statements: the look at the first job and the update."""
    fill(database, 3000, JobState.READY)
    fill(database, 3000, JobState.DONE, first=3000)
    with database.write() as connection:
        connection.execute(text("ANALYZE job" if connection.dialect.name == "postgresql" else "ANALYZE"))
    with database.write() as connection, explained(connection) as plans:
        now = database.now(connection)
        assert 16 == len(jobs.claim(connection, now, JobKind.INFER, owner="w", limit=16, lease_s=60.0))
    assert 2 == len(plans)
    for plan in plans:
        assert "job_next" in plan
        assert "Seq Scan on job" not in plan
        assert "SCAN job" not in plan.replace("SCAN job USING", "")
        assert "Sort" not in plan.split("job_next")[0].split("Limit")[-1]
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_a_claim_for_a_destination_uses_it_too(database: Database) -> None:
    """A lane is a part of the same index."""
    fill(database, 3000, JobState.READY)
    with database.write() as connection, explained(connection) as plans:
        jobs.claim(connection, 1e12, JobKind.DELIVER, owner="w", limit=1, lease_s=60.0, lane="pacs")
    assert 1 == len(plans)
    assert "job_next" in plans[0]
