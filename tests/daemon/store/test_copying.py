"""From one database to the other kind, with nothing lost and nothing held."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrd.errors import StoreError
from cxrd.store import audit, jobs
from cxrd.store.copying import copy
from cxrd.store.database import Database
from support.database import fresh
from support.rows import arrive, claim, rows


def test_everything_moves_and_work_goes_on(tmp_path: Path) -> None:
    """Counts and seals agree, a lease is nobody's any more, and new rows get new numbers."""
    with fresh("sqlite", tmp_path) as old, fresh("postgresql", tmp_path) as new:
        arrive(old)
        arrive(old, 2, study_uid="9.9")
        with old.write() as connection:
            audit.seal(connection, old.now(connection))
        held = claim(old)
        assert len(held) == 2
        moved = copy(old, new)
        assert (moved.rows["study"], moved.rows["job"], moved.rows["instance"], moved.seals) == (2, 2, 2, 1)
        with new.write() as connection:
            assert audit.verify(connection).faults == ()
            with pytest.raises(jobs.Fenced):
                jobs.finish(connection, new.now(connection), held[0])
        assert len(claim(new)) == 2
        arrive(new, 3, study_uid="7.7")
        numbers = [number for (number,) in rows(new, "SELECT id FROM job ORDER BY id")]
        assert len(set(numbers)) == 3


def test_a_database_in_use_is_never_copied_into(tmp_path: Path, database: Database) -> None:
    """Two histories cannot become one."""
    (tmp_path / "other").mkdir()
    with fresh("sqlite", tmp_path / "other") as old:
        arrive(old)
        arrive(database)
        with pytest.raises(StoreError, match="holds rows already"):
            copy(old, database)


def test_a_broken_audit_chain_stops_the_copy(tmp_path: Path, database: Database) -> None:
    """What was altered before is found now, and nothing is committed."""
    (tmp_path / "other").mkdir()
    with fresh("sqlite", tmp_path / "other") as old:
        arrive(old)
        with old.write() as connection:
            audit.seal(connection, old.now(connection))
            connection.exec_driver_sql("UPDATE audit SET actor = 'mallory'")
        with pytest.raises(StoreError, match="audit chain"):
            copy(old, database)
        assert rows(database, "SELECT count(*) FROM study") == [(0,)]
