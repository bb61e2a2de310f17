"""The loop that every queue worker runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event

import pytest
from sqlalchemy import Connection, text

from cxrd.errors import CxrdError, PayloadLost, StoreError
from cxrd.settings import Work
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.work.loop import Loop
from support.rows import arrive, claim, rows


class Scripted:
    """A handler that does what a test says."""

    kind = JobKind.INFER

    def __init__(self, act: Callable[[jobs.Claim], Step], lane: str = "") -> None:
        self._act = act
        self._lane = lane

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Up to four."""
        return jobs.claim(connection, now, self.kind, owner=owner, limit=4, lease_s=lease_s, lane=self._lane)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """One step for each claim."""
        yield from (self._act(held) for held in claims)


def once(database: Database, act: Callable[[jobs.Claim], Step], lane: str = "", **changes: int) -> bool:
    """Run the loop once over what is due."""
    return until_worked(Loop(database, Scripted(act, lane), "w1", Work.model_validate(changes), Event()))


def until_worked(loop: Loop) -> bool:
    """Run a loop until something was due; the databases' clocks are coarser than a test."""
    while not (worked := loop.once()):
        pass
    return worked


def noting(held: jobs.Claim) -> Step:
    """A step that writes and finishes."""

    def effect(connection: Connection, now: float) -> None:
        connection.execute(text("UPDATE study SET reason = 'noted'"))
        jobs.finish(connection, now, held)

    return Step(held, effect)


def failing(error: Exception) -> Callable[[jobs.Claim], Step]:
    """A handler that fails."""

    def act(_claim: jobs.Claim) -> Step:
        raise error

    return act


def test_a_steps_effect_and_its_end_are_one_transaction(database: Database) -> None:
    """Both are there afterwards."""
    arrive(database)
    once(database, noting)
    assert [("noted",)] == rows(database, "SELECT reason FROM study")
    assert [("done",)] == rows(database, "SELECT state FROM job")


def test_a_failure_is_tried_again_and_then_named(database: Database) -> None:
    """An error that may pass: later, later, dead."""
    arrive(database)
    for expected in ("ready", "dead"):
        once(database, failing(ValueError("odd")), max_attempts=2)
        assert [(expected, "ValueError: odd")] == rows(database, "SELECT state, err FROM job")
        with database.write() as connection:
            connection.execute(text("UPDATE job SET due = 0"))
    assert [("failed",)] == rows(database, "SELECT state FROM study")


def test_a_permanent_error_is_not_tried_again(database: Database) -> None:
    """Named at once, with its hint."""
    arrive(database)
    once(database, failing(CxrdError("Patient ID is too long", hint="correct it at the source")))
    assert [("dead", "Patient ID is too long (correct it at the source)")] == rows(
        database, "SELECT state, err FROM job"
    )


def test_what_waits_for_another_system_dies_of_no_passing_trouble(database: Database) -> None:
    """Its waits for a busy PACS were attempts too; only a permanent answer buries it."""
    arrive(database)
    with database.write() as connection:
        connection.execute(text("UPDATE job SET lane = 'pacs', attempts = 50"))
    once(database, failing(PayloadLost("0" * 64, "cannot be read")), "pacs", max_attempts=2)
    assert [("ready",)] == rows(database, "SELECT state FROM job")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite takes any text
def test_a_value_that_the_database_does_not_take_is_one_jobs_trouble(database: Database) -> None:
    """Not an outage: the job is named, and no other waits for it."""
    arrive(database)

    def unfit(held: jobs.Claim) -> Step:
        def effect(connection: Connection, _now: float) -> None:
            connection.execute(text("UPDATE study SET reason = :said"), {"said": "a\0b"})

        return Step(held, effect)

    once(database, unfit)
    ((state, error),) = rows(database, "SELECT state, err FROM job")
    assert "dead" == state
    assert "takes no such value" in error


@pytest.mark.parametrize("where", ["handler", "effect"])
def test_a_store_that_was_away_gets_its_work_done_when_it_is_back(database: Database, where: str) -> None:
    """Its own heartbeat would renew the lease for ever: the loop gives the job back, and no attempt is written off."""
    arrive(database)
    answers = [StoreError("away")]

    def act(held: jobs.Claim) -> Step:
        def effect(connection: Connection, now: float) -> None:
            connection.execute(text("UPDATE study SET reason = 'half'"))
            raise answers.pop()

        if answers and where == "effect":
            return Step(held, effect)
        if answers:
            raise answers.pop()
        return noting(held)

    loop = Loop(database, Scripted(act), "w1", Work(), Event())
    with pytest.raises(StoreError):
        until_worked(loop)
    assert [("leased", 1)] == rows(database, "SELECT state, attempts FROM job")
    assert [("",)] == rows(database, "SELECT reason FROM study")
    until_worked(loop)
    assert [("done", 1)] == rows(database, "SELECT state, attempts FROM job")


def test_only_its_own_work_is_given_back(database: Database) -> None:
    """What another worker holds stays in its hands."""
    arrive(database, 1, study_uid="1.1")
    claim(database, owner="w2")
    arrive(database, 2, study_uid="1.2")
    loop = Loop(database, Scripted(failing(StoreError("away"))), "w1", Work(), Event())
    for _ in range(2):
        with pytest.raises(StoreError):
            until_worked(loop)
    assert [("w2", 1), ("w1", 1)] == rows(database, "SELECT owner, attempts FROM job ORDER BY id")


def test_a_failure_in_a_batch_leaves_what_was_done(database: Database) -> None:
    """The first study is finished; the second fails, the third was not begun: both come back."""
    arrive(database, 1, study_uid="1.1")
    arrive(database, 2, study_uid="1.2")
    arrive(database, 3, study_uid="1.3")

    def act(held: jobs.Claim) -> Step:
        if held.study_uid == "1.1":
            return noting(held)
        raise ValueError("odd")

    once(database, act)
    assert [("done",), ("ready",), ("ready",)] == rows(database, "SELECT state FROM job ORDER BY id")


def test_a_result_under_a_lost_lease_is_discarded(database: Database) -> None:
    """The loop goes on; nothing of the step is written."""
    arrive(database)

    def overtaken(held: jobs.Claim) -> Step:
        with database.write() as connection:
            jobs.reap(connection, database.now(connection), max_crashes=3, dead_owners=["w1"])
        return noting(held)

    assert once(database, overtaken)
    assert [("",)] == rows(database, "SELECT reason FROM study")


def test_it_stops_when_told(database: Database) -> None:
    """Without claiming anything more."""
    arrive(database)
    stop = Event()
    stop.set()
    Loop(database, Scripted(noting), "w1", Work(), stop).run()
    assert [("ready",)] == rows(database, "SELECT state FROM job")


def test_one_bad_job_of_a_batch_takes_no_other_with_it(database: Database) -> None:
    """The batch fails, each is tried alone, and only the culprit is tried again later."""
    for n in range(1, 4):
        arrive(database, n, study_uid=f"1.2.{n}")

    def act(claim: jobs.Claim) -> Step:
        if claim.study_uid == "1.2.2":
            raise PayloadLost("ab" * 32, "is missing")
        return noting(claim)

    once(database, act)
    found = rows(database, "SELECT study_uid, state, length(err) > 0 FROM job ORDER BY study_uid")
    assert [("1.2.1", "done", False), ("1.2.2", "ready", True), ("1.2.3", "done", False)] == found
