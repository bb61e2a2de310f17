"""A destination is asked to keep what it stored, until it says that it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role
from pynetdicom.presentation import build_context
from sqlalchemy import text

from cxrd import commitment
from cxrd.commitment import Reference
from cxrd.delivery.committer import Committer, fault_of
from cxrd.delivery.reports import Reports
from cxrd.demo.pacs import SUCCESS, StandInPacs
from cxrd.intake.listener import Listener
from cxrd.peers import Dicom, Source
from cxrd.settings import Settings
from cxrd.store import commitments, interventions
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from support.deliveries import courier, deliver, destined, peer, waiting
from support.node import free_port, until
from support.observing import Noted
from support.orthanc import orthanc
from support.rows import STUDY, rows

STRANGERS = Dicom(bind="127.0.0.1", port=0, sources=(Source(name="ct", ae_title="CT"),))


def stored(database: Database, payload: PayloadStore, port: int) -> str:
    """An object that the PACS has taken, and is to commit; its UID."""
    uid = waiting(database, payload)
    deliver(database, courier(database, payload, port, commit=True))
    return uid


def committer(database: Database, port: int) -> Committer:
    """Asks one destination."""
    settings = destined(database, port, commit=True)
    return Committer(database, settings, Reports(database, settings, Metrics()), Metrics(), "pacs")


@contextmanager
def listening(database: Database, folder: Path, port: int, settings: Dicom = STRANGERS) -> Iterator[int]:
    """A listener that hears reports, and takes films of others only; its port."""
    reports = Reports(database, destined(database, port, commit=True), Metrics())
    store = PayloadStore(folder)
    listener = Listener(settings, database, store, min_free_bytes=0, observer=Noted(), reports=reports)
    yield listener.start()
    listener.stop()


def job(database: Database) -> tuple[str, str]:
    """State of the question, and what was last said of it."""
    ((state, error),) = rows(database, "SELECT state, err FROM job WHERE kind = 'commitment'")
    return state, error


def is_committed(database: Database) -> bool:
    """Whether the one delivery is committed."""
    ((at,),) = rows(database, "SELECT committed_at FROM delivery")
    return at is not None


def answers(database: Database, uid: str) -> list[str]:
    """What the audit trail tells of an object's commitment."""
    told = rows(database, "SELECT subject, what FROM audit WHERE what LIKE '%committed' ORDER BY id")
    return [what for subject, what in told if subject == uid]


def finished(database: Database, ask: Committer) -> bool:
    """Whether nothing is left to ask, once the job has looked."""
    if job(database)[0] == "ready":
        deliver(database, ask)
    return job(database) == ("done", "")


def test_an_answer_on_the_association_of_the_question(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """Committed, audited, and nothing is asked any more."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        uid = stored(database, payload, pacs.port)
        assert not is_committed(database)
        ask = committer(database, pacs.port)
        deliver(database, ask)
        assert [SUCCESS] == pacs.commitments.answers
        assert finished(database, ask)
        ((caller, asked),) = pacs.commitments.asked
    assert ("CXRD", uid) == (caller, asked.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    assert is_committed(database)
    assert ["object_committed"] == answers(database, uid)


def test_an_answer_at_any_listener(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """It comes on an association of its own, after the asker has gone, and is found by its transaction UID."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        with listening(database, tmp_path / "other", pacs.port) as port:
            pacs.commitments.reports_to = ("127.0.0.1", port)
            stored(database, payload, pacs.port)
            ask = committer(database, pacs.port)
            deliver(database, ask)
            until(lambda: is_committed(database), seconds=10, what="the report has come")
            until(lambda: pacs.commitments.answers == [SUCCESS], seconds=10, what="it was answered")
        assert finished(database, ask)
        assert 1 == len(pacs.commitments.asked)


def test_what_was_not_committed_is_sent_again(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """The same bytes, after a wait, with the reason at hand; and then it is asked about them anew."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.judge = lambda _uid, n: commitment.NO_SUCH_OBJECT if n == 1 else 0
        uid = stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        deliver(database, ask)
        assert [(None, "not committed: 0x0112 no such object")] == rows(
            database, "SELECT stored_at, error FROM delivery"
        )
        assert [("reported",)] == rows(database, "SELECT state FROM study")
        deliver(database, courier(database, payload, pacs.port, commit=True), later_s=30)
        deliver(database, ask)
        assert (2, 1) == (pacs.receipts[uid], len(pacs.digests[uid]))
        first, second = (asked.TransactionUID for _, asked in pacs.commitments.asked)
    assert first != second
    assert is_committed(database)
    assert [("delivered",)] == rows(database, "SELECT state FROM study")
    assert ["object_not_committed", "object_committed"] == answers(database, uid)


def test_a_peer_that_never_answers_is_asked_again(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """With growing waits, each time under a new transaction UID; the result stays delivered meanwhile."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.silent = True
        stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        waits = []
        for later_s in (0.001, 201):
            deliver(database, ask, later_s=later_s)
            assert ("delayed", "asked, and not answered yet") == job(database)
            ((due,),) = rows(database, "SELECT due FROM job WHERE kind = 'commitment'")
            with database.write() as connection:
                waits.append(due - database.now(connection))
                connection.exec_driver_sql("UPDATE job SET state = 'ready' WHERE kind = 'commitment'")
        assert 2 == len({asked.TransactionUID for _, asked in pacs.commitments.asked})
    assert 0 < waits[0] <= 200 < waits[1] <= 400
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_a_late_answer_counts_and_a_repeated_one_does_not(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """The first of two questions is answered, twice; then somebody tells of what nobody asked."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.silent = True
        uid = stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        deliver(database, ask)
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE job SET state = 'ready' WHERE kind = 'commitment'")
        deliver(database, ask, later_s=201)
        first = str(pacs.commitments.asked[0][1].TransactionUID)
    told = commitment.Report(first, (uid, "1.2.3.not.ours"), {})
    assert commitments.Heard("pacs", 1, 0) == hear(database, told)
    assert commitments.Heard("pacs", 0, 0) == hear(database, told)
    assert None is hear(database, commitment.Report("1.2.3", (uid,), {}))
    assert ["object_committed"] == answers(database, uid)


def test_questions_that_nobody_answers_do_not_pile_up(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """What was asked within a week may still be answered; what is older gives way to the next question."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.silent = True
        uid = stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        for days in (8, 6, 0):
            deliver(database, ask, later_s=0.001)
            with database.write() as connection:
                connection.execute(text("UPDATE commitment SET asked_at = asked_at - :s"), {"s": days * 86400})
                connection.exec_driver_sql("UPDATE job SET state = 'ready', due = 0 WHERE kind = 'commitment'")
        asked = [str(asked.TransactionUID) for _, asked in pacs.commitments.asked]
    assert set(asked[1:]) == {one for (one,) in rows(database, "SELECT transaction_uid FROM commitment")}
    assert None is hear(database, commitment.Report(asked[0], (uid,), {}))
    assert commitments.Heard("pacs", 1, 0) == hear(database, commitment.Report(asked[1], (uid,), {}))


def hear(database: Database, told: commitment.Report) -> commitments.Heard | None:
    """Write a report down."""
    with database.write() as connection:
        return commitments.hear(connection, database.now(connection), told)


def test_a_refusal_that_a_later_sending_has_overtaken_opens_nothing(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """It tells of the copy before."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.silent = True
        uid = stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        deliver(database, ask)
        first = str(pacs.commitments.asked[0][1].TransactionUID)
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE delivery SET stored_at = stored_at + 1000")
    assert commitments.Heard("pacs", 0, 0) == hear(database, commitment.Report(first, (), {uid: 0x0112}))
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_a_pacs_that_does_not_offer_it_is_named(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """The result is delivered; the question waits with the reason, and `cxrd check` says so beforehand."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        stored(database, payload, pacs.port)
        entity = AE("PACS")
        entity.add_supported_context("1.2.840.10008.1.1")
        server: Any = entity.start_server(("127.0.0.1", 0), block=False)
        port = server.socket.getsockname()[1]
        try:
            deliver(database, committer(database, port))
            (destination,) = destined(database, port, commit=True).destinations
            assert "does not offer Storage Commitment" in fault_of(destination, "CXRD")
        finally:
            server.shutdown()
        (here,) = destined(database, pacs.port, commit=True).destinations
        assert "" == fault_of(here, "CXRD")
    state, error = job(database)
    assert "delayed" == state
    assert "does not offer Storage Commitment" in error
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


@pytest.mark.parametrize("status", [0x0110, 0x0213])
def test_a_request_that_is_refused_is_made_again(
    database: Database, payload: PayloadStore, tmp_path: Path, status: int
) -> None:
    """With the status beside it."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        pacs.commitments.status = status
        stored(database, payload, pacs.port)
        deliver(database, committer(database, pacs.port))
    assert ("delayed", f"not asked: status 0x{status:04X} to the request of commitment") == job(database)


def test_a_pacs_that_is_down_is_left_alone(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """A question that finds nobody counts for the lane, as a delivery does."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        stored(database, payload, pacs.port)
    deliver(database, committer(database, free_port()))
    assert [(1,)] == rows(database, "SELECT fails FROM dest")
    assert "not asked: pacs: the destination cannot be reached" in job(database)[1]


def test_a_destination_that_is_no_source_may_report_and_not_store(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """It calls with its title from its address; a stranger is rejected, and nobody tells of what was not asked."""
    told = commitment.report("1.2.3", [Reference("1.2", "1.3")], {})
    wanted = [build_context(commitment.PUSH_MODEL), build_context("1.2.840.10008.5.1.4.1.1.1")]
    role = build_role(commitment.PUSH_MODEL, scp_role=True)
    with listening(database, tmp_path / "other", free_port()) as port:
        entity = AE("PACS")
        calls = entity.associate("127.0.0.1", port, contexts=wanted, ae_title="CXRD", ext_neg=[role])
        assert [commitment.PUSH_MODEL] == [c.abstract_syntax for c in calls.accepted_contexts]
        assert [(False, True)] == [(c.as_scu, c.as_scp) for c in calls.accepted_contexts]
        send = calls.send_n_event_report
        assert 0x0115 == send(told, 1, commitment.PUSH_MODEL, commitment.INSTANCE)[0].Status
        assert 0x0113 == send(told, 7, commitment.PUSH_MODEL, commitment.INSTANCE)[0].Status
        calls.release()
        assert AE("STRANGER").associate("127.0.0.1", port, contexts=wanted, ae_title="CXRD").is_rejected


def test_a_teller_is_known_at_an_ipv6_socket(database: Database) -> None:
    """Where an IPv4 caller is shown as ::ffff:a.b.c.d."""
    reports = Reports(database, destined(database, 104, commit=True), Metrics())
    assert ["pacs", None] == [reports.teller("PACS", f"::ffff:127.0.0.{n}") for n in (1, 2)]


def test_nothing_is_asked_where_nobody_wants_to_know(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """By default; and what waits ends when it is switched off."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        waiting(database, payload)
        deliver(database, courier(database, payload, pacs.port))
        assert [] == rows(database, "SELECT id FROM job WHERE kind = 'commitment'")
    assert not Settings().destinations
    with database.write() as connection:
        assert {} == commitments.oldest_age_by_dest(connection, database.now(connection))


def test_a_question_in_hand_ends_when_its_destination_need_not_commit_any_more(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """It was claimed a moment before; the study was delivered, and stays so."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        stored(database, payload, pacs.port)
        ask = committer(database, pacs.port)
        with database.write() as connection:
            held = ask.claim(connection, database.now(connection) + 1, owner="w1", lease_s=60)
        ask.follow(Settings())
        for step in ask(held):
            with database.write() as connection:
                step.effect(connection, database.now(connection))
    assert "done" == job(database)[0]
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_asking_at_once_leaves_a_delivered_study_delivered(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """As the runbook says: `cxrd studies requeue` asks now; nothing of the study is begun again."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        stored(database, payload, pacs.port)
    with database.write() as connection:
        now = database.now(connection)
        connection.execute(text("UPDATE job SET state = 'delayed', due = due + 900 WHERE kind = 'commitment'"))
        assert 1 == interventions.requeue(connection, now, study_uid=STUDY, actor="operator")
    assert "ready" == job(database)[0]
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_a_question_ends_when_its_destination_is_not_to_commit_any_more(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """Nothing waits for ever for a switch that was turned."""
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        stored(database, payload, pacs.port)
    with database.write() as connection:
        now = database.now(connection)
        assert {"pacs": 100} == {
            k: round(v, -1) for k, v in commitments.oldest_age_by_dest(connection, now + 100).items()
        }
        assert 0 == commitments.close(connection, now, ["pacs"])
        assert 1 == commitments.close(connection, now, [])
    assert "done" == job(database)[0]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_orthanc_commits_and_what_it_lost_is_sent_again(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """A real PACS, which answers on associations of its own: first it has lost the object, then it keeps it."""
    ours = free_port()
    settings = STRANGERS.model_copy(update={"port": ours})
    with orthanc(tmp_path / "orthanc", ours=ours) as real, listening(database, tmp_path / "o", real.port, settings):
        uid = stored(database, payload, real.port)
        assert {uid} == real.uids()
        real.lose()
        ask = committer(database, real.port)
        deliver(database, ask)
        until(lambda: answers(database, uid) == ["object_not_committed"], seconds=20, what="Orthanc says so")
        deliver(database, courier(database, payload, real.port, commit=True), later_s=30)
        assert {uid} == real.uids()
        deliver(database, ask, later_s=1000)
        until(lambda: is_committed(database), seconds=20, what="Orthanc commits")
    assert ["object_not_committed", "object_committed"] == answers(database, uid)


def test_only_the_stand_in_knows_how_it_is_meant(pacs: StandInPacs) -> None:
    """What it does not hold it does not commit."""
    assert not pacs.commitments.holds(str(generate_uid()))
