"""Files that no row names are adopted once; what is ours, young or no film is left where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
