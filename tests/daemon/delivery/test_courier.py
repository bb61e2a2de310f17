"""Results reach every destination, once in effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cxrd.delivery.courier import Courier
from cxrd.demo.pacs import SUCCESS, Behaviour, StandInPacs
from cxrd.errors import PayloadLost
from cxrd.findings import ArtefactKind
from cxrd.settings import Delivery, Destination, Settings
from cxrd.store import jobs, results
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch.metrics import Metrics
from support.datasets import encoded, film
from support.node import free_port
from support.rows import STUDY, arrive, claim, record, rows

BUSY, BROKEN, DUPLICATE = 0xA700, 0xC000, 0x0111


@contextmanager
def peer(folder: Path, behave: Behaviour) -> Iterator[StandInPacs]:
    """A PACS that behaves as told."""
    folder.mkdir(exist_ok=True)
    made = StandInPacs(folder, "PACS", behave=behave)
    made.start()
    yield made
    made.stop()


def courier(database: Database, payload: PayloadStore, port: int, name: str = "pacs") -> Courier:
    """A courier with one destination and hardly any wait."""
    destination = Destination(name=name, ae_title="PACS", host="127.0.0.1", port=port, timeout_s=5)
    waits = Delivery(backoff_base_s=0.001, backoff_cap_s=0.001)
    return Courier(database, payload, Settings(destinations=(destination,), delivery=waits), Metrics())


def waiting(database: Database, payload: PayloadStore) -> str:
    """A study with one object to deliver; its UID."""
    arrive(database)
    dataset = film()
    made = results.NewArtefact(
        kind=ArtefactKind.SR,
        sop_class=dataset.SOPClassUID,
        sop_uid=dataset.SOPInstanceUID,
        sha256=payload.put(encoded(dataset)),
        size=1,
    )
    with database.write() as connection:
        now = database.now(connection)
        inference = record(connection, now)
        results.record_artefacts(connection, now, inference, [made], {"pacs": (ArtefactKind.SR,)}, priority=50)
    return str(dataset.SOPInstanceUID)


def deliver(database: Database, carry: Courier) -> None:
    """Work on the delivery once."""
    until_due = claim(database, JobKind.DELIVER)
    while not until_due:
        until_due = claim(database, JobKind.DELIVER)
    for step in carry(until_due):
        with database.write() as connection:
            step.effect(connection, database.now(connection))


def state(database: Database) -> tuple[str, str]:
    """State of the delivery job and of the study."""
    ((job,),) = rows(database, "SELECT state FROM job WHERE kind = 'deliver'")
    ((study,),) = rows(database, "SELECT state FROM study")
    return job, study


def test_a_stored_object_finishes_the_study(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """Job done, study delivered, audit row written."""
    uid = waiting(database, payload)
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        deliver(database, courier(database, payload, pacs.port))
        assert {uid: 1} == dict(pacs.receipts)
    assert ("done", "delivered") == state(database)
    assert [(uid,)] == rows(database, "SELECT subject FROM audit WHERE what = 'object_delivered'")
    assert [(STUDY,)] == rows(database, "SELECT subject FROM audit WHERE what = 'study_delivered'")


def scripted(*answers: int) -> Callable[[str, int], int]:
    """A PACS that answers so, and so, and so."""
    return lambda _uid, receipt: answers[min(receipt, len(answers)) - 1]


def test_a_busy_pacs_is_tried_again_with_the_same_bytes(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """Two refusals for lack of room, then success; one set of bytes for the UID."""
    uid = waiting(database, payload)
    with peer(tmp_path / "pacs", scripted(BUSY, BUSY, SUCCESS)) as pacs:
        carry = courier(database, payload, pacs.port)
        for expected in ("ready", "ready", "done"):
            deliver(database, carry)
            assert expected == state(database)[0]
        assert (3, 1) == (pacs.receipts[uid], len(pacs.digests[uid]))


def test_a_busy_pacs_is_given_time(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """The job falls due later than it did, with the answer beside it, and the study waits."""
    waiting(database, payload)
    ((before,),) = rows(database, "SELECT due FROM job WHERE kind = 'deliver'")
    with peer(tmp_path / "pacs", scripted(BUSY)) as pacs:
        deliver(database, courier(database, payload, pacs.port))
    ((due, error),) = rows(database, "SELECT due, err FROM job WHERE kind = 'deliver'")
    assert due > before
    assert "status 0xA700" == error
    assert ("ready", "reported") == state(database)


def test_altered_bytes_are_not_sent(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """A report that changed on disk is no report; the PACS never sees it, and no attempt is noted."""
    waiting(database, payload)
    ((sha256,),) = rows(database, "SELECT sha256 FROM artefact")
    stored = bytearray(payload.get(sha256))
    stored[-1] ^= 1
    payload.path(sha256).write_bytes(stored)
    with peer(tmp_path / "pacs", scripted(SUCCESS)) as pacs, pytest.raises(PayloadLost, match="altered"):
        deliver(database, courier(database, payload, pacs.port))
    assert {} == pacs.receipts
    assert [(None,)] == rows(database, "SELECT first_sent_at FROM delivery")


def test_a_permanent_answer_waits_for_a_person(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """Dead, named, and alive again on request."""
    waiting(database, payload)
    with peer(tmp_path / "pacs", scripted(BROKEN, SUCCESS)) as pacs:
        carry = courier(database, payload, pacs.port)
        deliver(database, carry)
        assert ("dead", "failed") == state(database)
        assert [("status 0xC000",)] == rows(database, "SELECT err FROM job WHERE kind = 'deliver'")
        with database.write() as connection:
            jobs.requeue(connection, database.now(connection), study_uid=STUDY, actor="operator")
        deliver(database, carry)
    assert ("done", "delivered") == state(database)


def test_a_pacs_that_is_down_is_waited_for_without_end(database: Database, payload: PayloadStore) -> None:
    """Attempts alone never kill a delivery."""
    waiting(database, payload)
    carry = courier(database, payload, free_port())
    for _ in range(7):
        deliver(database, carry)
    assert "ready" == state(database)[0]
    assert [(7,)] == rows(database, "SELECT attempts FROM job WHERE kind = 'deliver'")


def test_a_duplicate_after_an_attempt_without_answer_is_success(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """The first try arrived though its answer was lost."""
    waiting(database, payload)
    deliver(database, courier(database, payload, free_port()))
    with peer(tmp_path / "pacs", scripted(DUPLICATE)) as pacs:
        deliver(database, courier(database, payload, pacs.port))
    assert ("done", "delivered") == state(database)


def test_somebody_elses_object_under_our_uid_is_no_success(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """A duplicate at the very first attempt."""
    waiting(database, payload)
    with peer(tmp_path / "pacs", scripted(DUPLICATE)) as pacs:
        deliver(database, courier(database, payload, pacs.port))
    assert "dead" == state(database)[0]


def test_a_destination_that_left_the_configuration_is_named(database: Database, payload: PayloadStore) -> None:
    """The message says what to do."""
    waiting(database, payload)
    deliver(database, courier(database, payload, free_port(), name="other"))
    ((error,),) = rows(database, "SELECT err FROM job WHERE kind = 'deliver'")
    assert "not configured any more" in error
    assert ("dead", "failed") == state(database)
