"""Results reach every destination, once in effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from sqlalchemy import text

from cxrd.delivery.courier import Courier
from cxrd.delivery.sender import echo
from cxrd.demo.pacs import SUCCESS, StandInPacs
from cxrd.errors import PayloadLost
from cxrd.settings import Settings
from cxrd.store import interventions, lanes
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.deliveries import courier, deliver, peer, scripted, state, waiting
from support.node import free_port
from support.rows import STUDY, rows

BUSY, BROKEN, DUPLICATE = 0xA700, 0xC000, 0x0111


def test_a_stored_object_finishes_the_study(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """Job done, study delivered, audit row written."""
    uid = waiting(database, payload)
    with peer(tmp_path / "pacs", lambda _uid, _n: SUCCESS) as pacs:
        deliver(database, courier(database, payload, pacs.port))
        assert {uid: 1} == dict(pacs.receipts)
    assert ("done", "delivered") == state(database)
    assert [(uid,)] == rows(database, "SELECT subject FROM audit WHERE what = 'object_delivered'")
    assert [(STUDY,)] == rows(database, "SELECT subject FROM audit WHERE what = 'study_delivered'")


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
            interventions.requeue(connection, database.now(connection), study_uid=STUDY, actor="operator")
        deliver(database, carry)
    assert ("done", "delivered") == state(database)


def test_a_pacs_that_is_down_is_left_alone_and_asked_again(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """After five failed associations nothing is sent for a while; then one C-ECHO decides, and nothing was lost."""
    waiting(database, payload)
    carry = courier(database, payload, free_port())
    for _ in range(lanes.FAILURES_TO_CLOSE):
        deliver(database, carry)
    assert "ready" == state(database)[0]
    assert not later(database, carry, seconds=0), "a closed destination is not tried"
    assert later(database, carry, seconds=1000), "after the pause it is"
    ((attempts, fails),) = rows(database, "SELECT job.attempts, dest.fails FROM job, dest WHERE job.kind = 'deliver'")
    assert (attempts, fails) == (5, 6), "a C-ECHO without an answer costs no attempt"
    with peer(tmp_path / "pacs", scripted(SUCCESS)) as pacs:
        assert later(database, courier(database, payload, pacs.port), seconds=10000)
    assert ("done", "delivered") == state(database)
    assert [(0, 0.0)] == rows(database, "SELECT fails, open_until FROM dest")


def test_a_pacs_that_accepts_no_echo_is_there_all_the_same(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """It was away; now it takes the association and refuses Verification, and would be left alone for ever."""
    uid = waiting(database, payload)
    carry = courier(database, payload, free_port())
    for _ in range(lanes.FAILURES_TO_CLOSE):
        deliver(database, carry)
    (tmp_path / "pacs").mkdir()
    pacs = StandInPacs(tmp_path / "pacs", "PACS")
    pacs._ae.remove_supported_context(Verification)
    pacs.start()
    try:
        assert not echo(courier(database, payload, pacs.port)._destinations["pacs"], "CXRD")
        assert later(database, courier(database, payload, pacs.port), seconds=1000)
    finally:
        pacs.stop()
    assert {uid: 1} == dict(pacs.receipts)


def test_an_earlier_result_never_arrives_after_a_later_one(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """The PACS was away for the first one, which waits longer; who reads in the order of arrival must not be misled."""
    first = waiting(database, payload)
    deliver(database, courier(database, payload, free_port()))
    with database.write() as connection:
        connection.execute(text("UPDATE job SET due = due + 500, state = 'delayed' WHERE kind = 'deliver'"))
    second = waiting(database, payload, digest="b")
    with peer(tmp_path / "pacs", scripted(SUCCESS)) as pacs:
        carry = courier(database, payload, pacs.port)
        for _ in range(3):
            deliver(database, carry)
    assert [first, second] == list(pacs.receipts)
    assert [("done",), ("done",)] == rows(database, "SELECT state FROM job WHERE kind = 'deliver'")
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_a_dead_delivery_holds_up_no_later_result(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """It waits for a person; a new result does not."""
    waiting(database, payload)
    with peer(tmp_path / "pacs", scripted(BROKEN)) as pacs:
        deliver(database, courier(database, payload, pacs.port))
    second = waiting(database, payload, digest="b")
    with peer(tmp_path / "pacs", scripted(SUCCESS)) as pacs:
        deliver(database, courier(database, payload, pacs.port))
    assert [second] == list(pacs.receipts)


def later(database: Database, carry: Courier, *, seconds: float) -> bool:
    """Work on what is due ``seconds`` from now; False when nothing may be claimed."""
    with database.write() as connection:
        held = carry.claim(connection, database.now(connection) + seconds, owner="w1", lease_s=60.0)
    for step in carry(held):
        with database.write() as connection:
            step.effect(connection, database.now(connection) + seconds)
    return bool(held)


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
    """A duplicate at the very first attempt; and at the second, when the first was answered or a person asked again."""
    waiting(database, payload)
    with peer(tmp_path / "pacs", scripted(BUSY, DUPLICATE)) as pacs:
        carry = courier(database, payload, pacs.port)
        deliver(database, carry)
        for _ in range(2):
            deliver(database, carry)
            assert ("dead", "failed") == state(database)
            with database.write() as connection:
                interventions.requeue(connection, database.now(connection), study_uid=STUDY, actor="operator")
        assert 3 == pacs.receipts.total()


def test_a_delivery_in_hand_ends_by_the_configuration_it_began_with(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """Its destination is taken out of the configuration while it sends: what the PACS stored is noted."""
    waiting(database, payload)

    def reloaded(_uid: str, _receipt: int) -> int:
        carry.follow(Settings())
        return SUCCESS

    with peer(tmp_path / "pacs", reloaded) as pacs:
        carry = courier(database, payload, pacs.port)
        deliver(database, carry)
    assert ("done", "delivered") == state(database)


def test_a_destination_that_left_the_configuration_is_named(database: Database, payload: PayloadStore) -> None:
    """The message says what to do."""
    waiting(database, payload)
    with database.write() as connection:
        later = database.now(connection) + 2 * lanes.UNSEEN_S
        assert lanes.bury_strays(connection, later, ["pacs"]) == 0
        assert lanes.bury_strays(connection, later, ["other"]) == 1
    ((error,),) = rows(database, "SELECT err FROM job WHERE kind = 'deliver'")
    assert "not configured any more" in error
    assert ("dead", "failed") == state(database)
