"""Claims from a queue of a million jobs, in steady state: what is claimed is finished, and as much comes in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from sqlalchemy import text

from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind, JobState
from support.database import fresh

QUEUED, FINISHED, BATCH, CLAIMS = 1_000_000, 1_000_000, 16, 400


FILL = """
INSERT INTO job (kind, dedupe, study_uid, lane, priority, state, due, rev, attempts, crashes, fence, owner, payload,
                 payload_v, err, created_at)
WITH RECURSIVE number(n) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :end)
SELECT 'infer', 'infer:' || n, '1.2.' || n, '', CASE WHEN n % 1000 = 0 THEN 0 ELSE 50 END, :state, n % 100000,
       1, 0, 0, 0, '', '{}', :version, '', 0 FROM number
"""


def fill(database: Database, number: int, state: JobState, *, first: int = 0) -> None:
    """Insert so many ``infer`` jobs, one in a thousand urgent; in the database, since a million rows take time."""
    told = {"first": first, "end": first + number, "state": str(state), "version": jobs.PAYLOAD_VERSION}
    payload = "'{}'" if database.engine.dialect.name == "sqlite" else "CAST('{}' AS json)"
    with database.write() as connection:
        connection.execute(text(FILL.replace("'{}'", payload)), told)


def steady(database: Database, claims: int) -> list[float]:
    """Milliseconds of each claim, its transaction and commit included; finishing and arriving are not counted."""
    found = []
    for turn in range(claims):
        started = time.perf_counter()
        with database.write() as connection:
            now = database.now(connection)
            held = jobs.claim(connection, now, JobKind.INFER, owner="w", limit=BATCH, lease_s=60.0)
        found.append((time.perf_counter() - started) * 1000)
        assert len(held) == BATCH
        with database.write() as connection:
            for claim in held:
                jobs.finish(connection, now, claim)
        for n in range(BATCH):
            with database.write() as connection:
                jobs.debounce(connection, now, study_uid=f"1.3.{turn}.{n}", priority=jobs.ROUTINE_PRIORITY, due=now)
    return found


def measure(folder: Path) -> Iterator[tuple[str, str]]:
    """The median and the 99th percentile on both databases."""
    for kind in ("sqlite", "postgresql"):
        with ExitStack() as stack:
            database = stack.enter_context(fresh(kind, folder))
            fill(database, QUEUED, JobState.READY)
            fill(database, FINISHED, JobState.DONE, first=QUEUED)
            if kind == "postgresql":
                with database.write() as connection:
                    connection.execute(text("ANALYZE job"))
            cuts = quantiles(steady(database, CLAIMS), n=100)
        yield f"claim of {BATCH} among {QUEUED:,} queued jobs, {kind}", f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"
