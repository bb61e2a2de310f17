"""What a person gives up is waited for by nobody, is never called delivered, and can be had back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from cxrd.findings import ArtefactKind
from cxrd.store import interventions, jobs, results, views
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from support.rows import STUDY, arrive, claim, record, reported, rows

WHY = "the PACS refuses it; reported by hand"
SR = (ArtefactKind.SR,)


def bury(database: Database, kind: JobKind = JobKind.DELIVER, lane: str = "pacs", error: str = "0xA900") -> int:
    """Let a job that is due die; its id."""
    (held,) = claim(database, kind, **({"lane": lane} if kind is JobKind.DELIVER else {}))
    with database.write() as connection:
        jobs.bury(connection, database.now(connection), held, error=error)
    return held.id


def dismiss(database: Database, reason: str = WHY, **chosen: Any) -> list[int]:
    """Dismiss as an operator does; the ids."""
    with database.write() as connection:
        now = database.now(connection)
        return [row.id for row in interventions.dismiss(connection, now, actor="meier", reason=reason, **chosen)]


def retry(database: Database, **chosen: Any) -> list[int]:
    """Retry as an operator does; the ids."""
    with database.write() as connection:
        return [row.id for row in interventions.retry(connection, database.now(connection), actor="meier", **chosen)]


def store(database: Database, inference_id: int, dest: str) -> bool:
    """Have a destination take everything that waits for it; whether the study is delivered."""
    with database.write() as connection:
        now = database.now(connection)
        for row in results.undelivered(connection, inference_id, dest):
            results.mark_stored(connection, now, row.sop_uid, dest, 0)
        return results.settle(connection, now, STUDY)


def study(database: Database) -> tuple[str, str]:
    """State of the study, and why."""
    ((state, reason),) = rows(database, "SELECT state, reason FROM study")
    return state, reason


def undelivered(database: Database) -> set[str]:
    """Destinations that a monitor is told to wait for."""
    with database.read() as connection:
        return set(views.oldest_undelivered_by_dest(connection, database.now(connection) + 100))


def test_a_dismissed_delivery_is_waited_for_by_nobody_and_not_called_delivered(database: Database) -> None:
    """It leaves the dead and the undelivered; row, study and trail say who gave it up, and why."""
    arrive(database)
    reported(database)
    job = bury(database)
    assert {"pacs"} == undelivered(database)
    assert [job] == dismiss(database, ids=[job])
    assert set() == undelivered(database)
    said = f"dismissed by meier: {WHY} (0xA900)"
    assert ("dismissed", said) == study(database)
    assert [("dismissed", said)] == rows(database, "SELECT state, err FROM job WHERE kind = 'deliver'")
    assert [("meier", STUDY)] == rows(database, "SELECT actor, subject FROM audit WHERE what = 'job_dismissed'")
    assert [] == rows(database, "SELECT id FROM audit WHERE what = 'study_delivered'")
    with database.read() as connection:
        assert 1 == views.jobs_by_kind_state(connection)["deliver", "dismissed"]
        (row,) = [row for row in views.queue(connection) if row.lane == "pacs"]
        assert (0, 1, None) == (row.dead, row.dismissed, row.oldest_due)
        assert [] == views.jobs(connection, kind="deliver", lane=None, state=None, limit=9)
        assert [job] == [one["id"] for one in views.jobs(connection, kind=None, lane=None, state="dismissed", limit=9)]


@pytest.mark.parametrize("state", ["ready", "delayed", "leased", "done", "dismissed"])
def test_only_what_is_dead_is_dismissed(database: Database, state: str) -> None:
    """What waits may still be done, and what is held is somebody's."""
    arrive(database)
    with database.write() as connection:
        connection.execute(text("UPDATE job SET state = :s"), {"s": state})
    assert [] == dismiss(database, study_uid=STUDY)
    assert [(state, "")] == rows(database, "SELECT state, err FROM job")
    assert [] == rows(database, "SELECT id FROM audit WHERE what = 'job_dismissed'")


@pytest.mark.parametrize("reason", ["", " \n", "a\0b", "x" * 201])
def test_a_dismissal_has_its_reason(database: Database, reason: str) -> None:
    """In words, on one short line."""
    arrive(database)
    job = bury(database, JobKind.INFER)
    with pytest.raises(interventions.Declined, match="reason"):
        dismiss(database, reason, ids=[job])
    assert [("dead",)] == rows(database, "SELECT state FROM job")


def test_the_others_are_waited_for(database: Database) -> None:
    """One destination is given up; the study goes on to the other, and ends as dismissed."""
    arrive(database)
    made = reported(database, pacs=SR, archive=SR)
    bury(database)
    dismiss(database, study_uid=STUDY)
    assert ("reported", "") == study(database)
    assert {"archive"} == undelivered(database)
    assert not store(database, made, "archive")
    assert "dismissed" == study(database)[0]


def test_a_study_with_another_dead_job_still_waits_for_a_person(database: Database) -> None:
    """And names the failure that is left."""
    arrive(database)
    reported(database, pacs=SR, archive=SR)
    bury(database, lane="archive", error="no room for such")
    bury(database)
    assert ("failed", "0xA900") == study(database)
    dismiss(database, lane="pacs")
    assert ("failed", "no room for such") == study(database)
    dismiss(database, lane="archive")
    assert "dismissed" == study(database)[0]


@pytest.mark.parametrize("kind", [JobKind.INFER, JobKind.BUILD])
def test_a_study_that_never_got_results_ends_without_them(database: Database, kind: JobKind) -> None:
    """Its films kill the worker, or their objects cannot be built."""
    arrive(database)
    if kind is JobKind.BUILD:
        with database.write() as connection:
            now = database.now(connection)
            made = record(connection, now)
            told: dict[str, Any] = {"dedupe": f"build:{made}", "study_uid": STUDY, "priority": 50, "payload": {}}
            jobs.enqueue(connection, now, JobKind.BUILD, **told)
            connection.execute(text("UPDATE job SET state = 'done' WHERE kind = 'infer'"))
    bury(database, kind)
    dismiss(database, study_uid=STUDY)
    assert "dismissed" == study(database)[0]


def test_a_study_whose_late_image_was_given_up_is_not_called_delivered(database: Database) -> None:
    """The report that every destination has knows nothing of it."""
    arrive(database)
    made = reported(database)
    bury(database, JobKind.INFER)
    dismiss(database, study_uid=STUDY)
    assert ("reported", "") == study(database)
    assert not store(database, made, "pacs")
    assert "dismissed" == study(database)[0]


def test_what_was_given_up_of_an_older_analysis_is_past(database: Database) -> None:
    """The newest one is what a study is judged by."""
    arrive(database)
    reported(database, "a")
    bury(database)
    newer = reported(database, "b")
    dismiss(database, study_uid=STUDY)
    assert "reported" == study(database)[0]
    assert {"pacs"} == undelivered(database)
    assert store(database, newer, "pacs")
    assert ("delivered", "") == study(database)


def test_what_is_dismissed_is_revived_by_its_number_only(database: Database) -> None:
    """Whoever retries a whole destination does not send what was given up."""
    arrive(database)
    made = reported(database)
    job = bury(database)
    dismiss(database, ids=[job])
    assert [] == retry(database) == retry(database, lane="pacs") == retry(database, study_uid=STUDY)
    assert [job] == retry(database, ids=[job])
    assert [("ready", 0, "")] == rows(database, "SELECT state, attempts, err FROM job WHERE kind = 'deliver'")
    assert ("reported", "") == study(database)
    assert {"pacs"} == undelivered(database)
    assert store(database, made, "pacs")
    assert ("delivered", "") == study(database)


def test_a_requeued_study_is_worked_on_again(database: Database) -> None:
    """What was dismissed of it is ready, and is not analysed anew instead."""
    arrive(database)
    reported(database)
    dismiss(database, ids=[bury(database)])
    with database.write() as connection:
        assert 1 == interventions.requeue(connection, database.now(connection), study_uid=STUDY, actor="meier")
    assert [("ready", 1)] == rows(database, "SELECT state, rev FROM job WHERE kind = 'deliver'")
    assert ("reported", "") == study(database)


def test_a_new_image_is_analysed_whatever_was_given_up(database: Database) -> None:
    """The study is at work again."""
    arrive(database)
    dismiss(database, ids=[bury(database, JobKind.INFER)])
    arrive(database, 2)
    assert ("received", "") == study(database)
    assert [("ready",)] == rows(database, "SELECT state FROM job")


def test_a_question_that_is_given_up_leaves_the_study_as_it_is(database: Database) -> None:
    """Storage commitment stands beside it."""
    arrive(database)
    made = reported(database)
    store(database, made, "pacs")
    with database.write() as connection:
        now = database.now(connection)
        told: dict[str, Any] = {"dedupe": "c", "study_uid": STUDY, "priority": 50, "payload": {}}
        jobs.enqueue(connection, now, JobKind.COMMITMENT, **told)
    job = bury(database, JobKind.COMMITMENT)
    assert [job] == dismiss(database, ids=[job])
    assert "delivered" == study(database)[0]
