"""What an object that arrives changes in the study that it names."""

from __future__ import annotations

from cxrd.store import jobs
from cxrd.store.arrivals import Received
from cxrd.store.database import Database
from support.rows import arrive, claim, reported, rows


def test_our_own_result_that_comes_back_is_no_reason_to_analyse_anew(database: Database) -> None:
    """An archive forwards a study with all that is in it; the report is filed, and the study stays where it is."""
    arrive(database)
    (held,) = claim(database)
    reported(database)
    with database.write() as connection:
        jobs.finish(connection, database.now(connection), held)
    before = rows(database, "SELECT state, last_at FROM study")
    (uid,) = (uid for uid, kind in rows(database, "SELECT sop_uid, kind FROM artefact") if kind == "sr")
    assert [Received.STORED] == arrive(database, sop_uid=uid, sha256="e" * 64)
    assert [Received.DUPLICATE] == arrive(database, sop_uid=uid, sha256="e" * 64)
    assert [(uid, "sop_class")] == rows(database, "SELECT sop_uid, reason FROM instance WHERE state = 'refused'")
    assert [("done", 1)] == rows(database, "SELECT state, rev FROM job WHERE kind = 'infer'")
    assert before == rows(database, "SELECT state, last_at FROM study")


def test_a_study_is_found_by_what_any_of_its_images_names(database: Database) -> None:
    """The first that came may be an object that names no order."""
    arrive(database)
    arrive(database, 2, accession="A-17", patient_id="P-1", study_date="20260102")
    arrive(database, 3, accession="A-18")
    assert [("A-17", "P-1", "20260102")] == rows(database, "SELECT accession, patient_id, study_date FROM study")
