"""Files that no row names are adopted once; what is ours, young or no film is left where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from cxrd.intake import adoption
from cxrd.intake.adoption import Adoption
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.datasets import encoded, film
from support.rows import rows


def age(payload: PayloadStore, digest: str, seconds: float) -> None:
    """Make a file older."""
    path = payload.path(digest)
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_file_without_a_row_is_adopted_once(database: Database, payload: PayloadStore) -> None:
    """It becomes an image of its study, to be analysed at once, and the audit tells."""
    dataset = film()
    digest = payload.put(encoded(dataset))
    age(payload, digest, 7200)
    adopt = Adoption(database, payload)
    assert adopt() == 1
    assert [(str(dataset.SOPInstanceUID), digest, "recovered")] == rows(
        database, "SELECT sop_uid, sha256, source FROM instance"
    )
    assert [("infer", "ready")] == rows(database, "SELECT kind, state FROM job")
    assert ("instance_stored",) in rows(database, "SELECT what FROM audit")
    assert adopt() == 0


def test_a_young_file_is_left_to_its_writer(database: Database, payload: PayloadStore) -> None:
    """Its commit may be under way."""
    payload.put(encoded(film()))
    assert Adoption(database, payload)() == 0


@pytest.mark.parametrize("kind", ["no object", "a result of ours"])
def test_what_is_no_film_stays_where_it_is(kind: str, database: Database, payload: PayloadStore) -> None:
    """Nothing is deleted, nothing is analysed."""
    dataset = film()
    dataset.ManufacturerModelName = "cxrd"
    digest = payload.put(b"not DICOM" if kind == "no object" else encoded(dataset))
    age(payload, digest, 7200)
    assert Adoption(database, payload)() == 0
    assert payload.path(digest).exists()
    assert [(0,)] == rows(database, "SELECT count(*) FROM instance")


def test_a_damaged_file_is_told_and_kept(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """Its hash says that it is not what it was."""
    digest = payload.put(encoded(film()))
    payload.path(digest).write_bytes(b"other bytes")
    age(payload, digest, 7200)
    assert Adoption(database, payload)() == 0
    assert payload.path(digest).read_bytes() == b"other bytes"


@pytest.mark.parametrize(("at_once", "queries"), [(500, 1), (2, 3)])
def test_many_folders_are_asked_for_at_once(
    database: Database, payload: PayloadStore, monkeypatch: pytest.MonkeyPatch, at_once: int, queries: int
) -> None:
    """There may be 65,536 of them, each hour; and no query is without end."""
    monkeypatch.setattr(adoption, "AT_ONCE", at_once)
    digests = [payload.put(encoded(film())) for _ in range(5)]
    for digest in digests:
        age(payload, digest, 7200)
    assert 5 == len({payload.path(digest).parent for digest in digests})
    asked: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.extend([statement] if "FROM artefact" in statement else [])

    event.listen(database.engine, "before_cursor_execute", note)
    assert 5 == len(list(Adoption(database, payload).find()))
    assert queries == len(asked)


@pytest.mark.parametrize("table", ["instance", "quarantine", "artefact", "remnant", "preview", "doomed"])
def test_a_hash_is_looked_up_by_an_index(database: Database, table: str) -> None:
    """A look through whole tables for each question took 14 ms of 100,000 objects."""
    with database.read() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:  # an empty table is read whole if it can be
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        word = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        query = f"{word} SELECT sha256 FROM {table} WHERE sha256 IN ('a', 'b')"  # noqa: S608 - our own tables
        plan = "\n".join(str(row[-1]) for row in connection.execute(text(query)))
    assert ("SEARCH" in plan) if sqlite else ("Seq Scan" not in plan), plan
