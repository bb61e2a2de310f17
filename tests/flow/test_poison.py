"""One study of sixteen kills, hangs or fails whoever touches it; fifteen must not notice for long."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from cxrd.store import jobs
from cxrd.store.database import Database
from support.database import fresh
from support.node import until
from support.poison import BATCH, KINDS, LIMITS, POISONED, work
from support.rows import arrive, rows

pytestmark = pytest.mark.flow


def reaped_after(database: Database, poison: str, folder: Path) -> list[int]:
    """Run one worker after another until one lives to see every job end; how many jobs each dead one left."""
    left: list[int] = []
    hanging = folder / "hanging"
    for number in range(10):
        arguments = (database.engine.url.render_as_string(hide_password=False), f"w{number}", poison, folder)
        worker = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
        worker.start()
        until(lambda w=worker: not w.is_alive() or hanging.exists(), seconds=180, what="it ends or hangs")  # type: ignore[misc]
        worker.kill()  # what a supervisor does to a role that has stopped beating
        worker.join()
        if worker.exitcode == 0:
            return left
        hanging.unlink(missing_ok=True)
        with database.write() as connection:
            now = database.now(connection)
            found = jobs.reap(connection, now, max_crashes=LIMITS.max_crashes, dead_owners=[f"w{number}"])
        left.append(len(found))
    raise AssertionError(f"ten workers died, leaving {left} jobs")


@pytest.mark.parametrize("poison", KINDS)
def test_poison_takes_nobody_with_it(poison: str, tmp_path: Path) -> None:
    """Exactly one is dead, with its reason; fifteen are done; after the first death suspects are claimed alone."""
    with fresh("sqlite", tmp_path) as database:
        for number in range(BATCH):
            arrive(database, number, study_uid=f"1.2.{number}")
        expected = [] if poison == "broken" else [BATCH, 1, 1]
        assert expected == reaped_after(database, poison, tmp_path)
        assert [(BATCH - 1,)] == rows(database, "SELECT count(*) FROM job WHERE state = 'done'")
        why = "ValueError: broken pixel data" if poison == "broken" else "its worker died 3 times"
        assert [(POISONED, why)] == rows(database, "SELECT study_uid, err FROM job WHERE state = 'dead'")
        assert [(POISONED, "failed", why)] == rows(database, "SELECT uid, state, reason FROM study WHERE reason <> ''")
