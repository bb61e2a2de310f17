"""What is compared, what is corrected, and what is left for a person; on both databases."""

from __future__ import annotations

from cxrd.demo.pacs import StandInPacs
from cxrd.findings import ArtefactKind
from cxrd.peers import Destination
from cxrd.report.uids import series_of
from cxrd.service.reconciliation import Matter, Reconciliation
from cxrd.settings import Settings
from cxrd.store import remnants, results
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.remnants import Remnant
from cxrd.store.schema import JobKind
from support.datasets import encoded, film
from support.node import free_port
from support.rows import STUDY, arrive, artefacts, claim, record, reported, rows


def settings(port: int) -> Settings:
    """One destination."""
    return Settings(destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, timeout_s=5),))


def run(database: Database, payload: PayloadStore, port: int) -> list[tuple[Matter, str]]:
    """Differences that were found, and their subjects."""
    found = Reconciliation(settings(port), database, payload, since="19000101").run()
    return [(row.matter, row.subject) for row in found if row.matter is not Matter.BYTES]


def hold(pacs: StandInPacs, sop_uid: str) -> None:
    """Put a report of ours at the PACS."""
    dataset = film(StudyInstanceUID=STUDY, SeriesInstanceUID=series_of(STUDY, "sr"), SOPInstanceUID=sop_uid)
    (pacs.folder / f"{sop_uid}.dcm").write_bytes(encoded(dataset))


def test_a_delivery_that_the_destination_lost_is_opened_again(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """Its job is ready, whatever became of it, and the audit tells."""
    arrive(database)
    made = reported(database)
    with database.write() as connection:
        for number in range(2):
            results.mark_stored(connection, database.now(connection), f"9.{made}.{number}", "pacs", 0)
    hold(pacs, f"9.{made}.0")
    rows_before = rows(database, "SELECT rev FROM job WHERE kind = 'deliver'")
    assert [(Matter.LACKING, f"9.{made}.1")] == run(database, payload, pacs.port)
    assert [("ready", rows_before[0][0] + 1)] == rows(database, "SELECT state, rev FROM job WHERE kind = 'deliver'")
    assert [(f"9.{made}.1",)] == rows(database, "SELECT artefact_uid FROM delivery WHERE stored_at IS NULL")
    assert [("reported",)] == rows(database, "SELECT state FROM study")
    assert [("object_missed",)] == rows(database, "SELECT what FROM audit WHERE what LIKE 'object_m%'")
    assert [] == run(database, payload, pacs.port)


def test_what_is_there_already_is_not_sent(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """It went out after the backup was made."""
    arrive(database)
    made = reported(database)
    hold(pacs, f"9.{made}.0")
    assert [(Matter.THERE, f"9.{made}.0")] == run(database, payload, pacs.port)
    with database.read() as connection:
        assert [f"9.{made}.1"] == [row.sop_uid for row in results.undelivered(connection, made, "pacs")]


def test_a_row_without_bytes_and_a_silent_destination_are_for_a_person(
    database: Database, payload: PayloadStore
) -> None:
    """Nothing can be done about them here, so they are named."""
    arrive(database)
    found = list(Reconciliation(settings(free_port()), database, payload).run())
    assert [Matter.BYTES, Matter.SILENT] == [row.matter for row in found]
    assert (STUDY, f"{STUDY}.1") == (found[0].study_uid, found[0].subject)
    assert "cannot be reached" in found[1].subject


def test_an_object_built_again_is_the_object_that_was_built_before(database: Database) -> None:
    """Its bytes are those that are stored, and who holds it gets no other."""
    arrive(database)
    picture, report = artefacts("9.1")
    with database.write() as connection:
        before = Remnant(report.sop_uid, STUDY, sha256="b" * 64, size=7)
        assert remnants.remember(connection, 1.0, before)
        assert remnants.remember(connection, 1.0, Remnant(picture.sop_uid, STUDY, "pacs"))
        assert not remnants.remember(connection, 2.0, before)
        made = record(connection, 3.0)
        results.record_artefacts(connection, 3.0, made, [picture, report], {"pacs": tuple(ArtefactKind)}, priority=50)
        waiting = results.undelivered(connection, made, "pacs")
    assert [(report.sop_uid, "b" * 64)] == [(row.sop_uid, row.sha256) for row in waiting]
    assert 1 == len(claim(database, JobKind.DELIVER, lane="pacs"))
