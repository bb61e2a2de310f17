"""The loop that every queue worker runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event

import pytest
from sqlalchemy import Connection, text

from cxrd.errors import CxrdError, StoreError
from cxrd.settings import Work
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.work.loop import Loop
from support.rows import arrive, rows


class Scripted:
    """A handler that does what a test says."""

    kind = JobKind.INFER
    batch_size = 4

    def __init__(self, act: Callable[[jobs.Claim], Step]) -> None:
        self._act = act

    def blocked_lanes(self) -> Sequence[str]:
        """None."""
        return ()

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """One step for each claim."""
        for claim in claims:
            yield self._act(claim)


def once(database: Database, act: Callable[[jobs.Claim], Step], **changes: int) -> bool:
    """Run the loop once over what is due."""
    loop = Loop(database, Scripted(act), "w1", Work.model_validate(changes), Event())
    while not (worked := loop.once()):
        pass
    return worked


def noting(claim: jobs.Claim) -> Step:
    """A step that writes and finishes."""

    def effect(connection: Connection, now: float) -> None:
        connection.execute(text("UPDATE study SET reason = 'noted'"))
        jobs.finish(connection, now, claim)

    return Step(claim, effect)


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


def test_a_store_that_is_away_is_not_the_jobs_fault(database: Database) -> None:
    """The claim runs out by itself; no attempt is written off."""
    arrive(database)
    with pytest.raises(StoreError):
        once(database, failing(StoreError("away")))
    assert [("leased",)] == rows(database, "SELECT state FROM job")


def test_a_result_under_a_lost_lease_is_discarded(database: Database) -> None:
    """The loop goes on; nothing of the step is written."""
    arrive(database)

    def overtaken(claim: jobs.Claim) -> Step:
        with database.write() as connection:
            jobs.reap(connection, database.now(connection), max_crashes=3, dead_owners=["w1"])
        return noting(claim)

    assert once(database, overtaken)
    assert [("",)] == rows(database, "SELECT reason FROM study")


def test_it_stops_when_told(database: Database) -> None:
    """Without claiming anything more."""
    arrive(database)
    stop = Event()
    stop.set()
    Loop(database, Scripted(noting), "w1", Work(), stop).run()
    assert [("ready",)] == rows(database, "SELECT state FROM job")
