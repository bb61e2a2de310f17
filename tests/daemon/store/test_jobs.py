"""The queue's promises, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from sqlalchemy import text

from cxrd.findings import (
    Box,
    Code,
    FilmAnalysis,
    FilmRef,
    Finding,
    Heat,
    ModelAnswer,
    ModelRef,
    StudyAnalysis,
    Unread,
)
from cxrd.store import interventions, jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from support.rows import STUDY, arrive, claim, rows


def reap(database: Database, *, after: float = 0.0, max_crashes: int = 3, dead: Sequence[str] = ()) -> list[int]:
    """Reap as if ``after`` seconds had passed."""
    with database.write() as connection:
        now = database.now(connection) + after
        return jobs.reap(connection, now, max_crashes=max_crashes, dead_owners=dead)


def finish(database: Database, held: jobs.Claim) -> None:
    """Finish a claim."""
    with database.write() as connection:
        jobs.finish(connection, database.now(connection), held)


def studies(database: Database, number: int, **changes: object) -> None:
    """Receive one image of each of several studies."""
    for n in range(1, number + 1):
        arrive(database, n, study_uid=f"1.2.{n}", **changes)


def test_each_new_image_moves_the_study_and_its_revision(database: Database) -> None:
    """Debounce: one job for a study, due a quiet period after its newest image."""
    arrive(database, 1, quiet_period_s=0)
    ((first,),) = rows(database, "SELECT due FROM job")
    arrive(database, 2, quiet_period_s=100)
    ((kind, rev, due),) = rows(database, "SELECT kind, rev, due FROM job")
    assert ("infer", 2) == (kind, rev)
    assert due > first + 90


def test_nothing_is_claimed_before_it_is_due(database: Database) -> None:
    """The quiet period is waited for."""
    arrive(database, 1, quiet_period_s=100)
    assert [] == claim(database)


def test_urgent_work_goes_first(database: Database) -> None:
    """A STAT study overtakes everything that waits."""
    studies(database, 3)
    arrive(database, 9, study_uid="1.2.9", stat=True)
    assert ["1.2.9", "1.2.1"] == [c.study_uid for c in claim(database, limit=2)]


def test_a_claimed_job_is_nobody_elses(database: Database) -> None:
    """Two workers never hold one job."""
    studies(database, 3)
    first, second = claim(database, limit=2), claim(database, limit=2, owner="w2")
    assert (2, 1) == (len(first), len(second))
    assert set() == {c.id for c in first} & {c.id for c in second}


def test_a_late_image_opens_the_job_again_when_it_is_finished(database: Database) -> None:
    """It stays leased while somebody works on it, and is ready at once afterwards."""
    arrive(database, 1)
    (held,) = claim(database)
    arrive(database, 2)
    assert [("leased", 2)] == rows(database, "SELECT state, rev FROM job")
    finish(database, held)
    assert [("ready", 2)] == rows(database, "SELECT state, rev FROM job")
    (again,) = claim(database)
    finish(database, again)
    assert [("done",)] == rows(database, "SELECT state FROM job")


@pytest.mark.parametrize("state", ["ready", "done", "dead", "dismissed"])
def test_a_new_image_revives_a_job_that_had_ended(database: Database, state: str) -> None:
    """With a clean slate: attempts and crashes belong to the old revision."""
    arrive(database, 1)
    with database.write() as connection:
        connection.execute(text("UPDATE job SET state=:s, attempts=4, crashes=2"), {"s": state})
    arrive(database, 2)
    assert [("ready", 0, 0)] == rows(database, "SELECT state, attempts, crashes FROM job")


def test_a_reopened_job_counts_its_attempts_anew(database: Database) -> None:
    """The revision that came while somebody worked starts where every other revision starts."""
    arrive(database, 1)
    (held,) = claim(database)
    arrive(database, 2)
    finish(database, held)
    (again,) = claim(database)
    assert (1, 1, 2) == (held.attempts, again.attempts, again.rev)


def test_a_zombie_writes_nothing(database: Database) -> None:
    """Its lease ended, another worker took over: its whole transaction rolls back."""
    arrive(database, 1)
    (zombie,) = claim(database, lease_s=1.0)
    assert [zombie.id] == reap(database, after=5)
    (owner,) = claim(database, owner="w2")
    with pytest.raises(jobs.Fenced), database.write() as connection:
        connection.execute(text("UPDATE study SET reason='written by a zombie'"))
        jobs.finish(connection, database.now(connection), zombie)
    assert [("",)] == rows(database, "SELECT reason FROM study")
    finish(database, owner)
    assert [("done",)] == rows(database, "SELECT state FROM job")


def test_a_reaped_lease_is_dead_even_before_it_is_claimed_again(database: Database) -> None:
    """The fence moves at the reaping, not only at the next claim."""
    arrive(database, 1)
    (zombie,) = claim(database, lease_s=1.0)
    reap(database, after=5)
    with pytest.raises(jobs.Fenced):
        finish(database, zombie)


@pytest.mark.parametrize("word", ["retry", "release", "bury"])
def test_a_zombie_gives_nothing_back(database: Database, word: str) -> None:
    """Whatever it says of a job that another worker holds, it is not heard."""
    arrive(database, 1)
    (zombie,) = claim(database)
    reap(database, dead=["w1"])
    claim(database, owner="w2")
    with pytest.raises(jobs.Fenced), database.write() as connection:
        now = database.now(connection)
        match word:
            case "retry":
                jobs.retry(connection, now, zombie, delay_s=1, error="zombie")
            case "release":
                jobs.release(connection, now, zombie)
            case "bury":
                jobs.bury(connection, now, zombie, error="zombie")
    assert [("leased", "w2", "")] == rows(database, "SELECT state, owner, err FROM job")
    assert [("received",)] == rows(database, "SELECT state FROM study")


def test_a_claim_that_was_given_back_is_no_claim(database: Database) -> None:
    """Another worker may hold the job by now, and that worker's number is another."""
    arrive(database, 1)
    (before,) = claim(database)
    with database.write() as connection:
        jobs.retry(connection, database.now(connection), before, delay_s=0, error="later")
    (after,) = claim(database, owner="w2")
    with pytest.raises(jobs.Fenced):
        finish(database, before)
    finish(database, after)


def test_clean_jobs_leave_a_suspect_behind(database: Database) -> None:
    """An urgent clean study is first in line; the suspect behind it does not come along."""
    arrive(database, 1, study_uid="1.2.1")
    (suspect,) = claim(database)
    reap(database, dead=["w1"])
    arrive(database, 2, study_uid="1.2.2")
    arrive(database, 3, study_uid="1.2.3", stat=True)
    batches = [[c.study_uid for c in claim(database, owner=f"w{n}")] for n in (2, 3)]
    assert [["1.2.3", "1.2.2"], [suspect.study_uid]] == batches


def test_a_dead_worker_is_forgotten_and_its_reaping_told(database: Database) -> None:
    """Its row goes, and the trail names whose lease it was."""
    arrive(database, 1)
    with database.write() as connection:
        jobs.register_worker(connection, database.now(connection), "w1", role="infer", version="0")
    claim(database)
    reap(database, dead=["w1"])
    assert [] == rows(database, "SELECT id FROM worker")
    assert [(STUDY,)] == rows(database, "SELECT subject FROM audit WHERE what = 'job_reaped'")


def test_a_worker_of_a_host_that_is_gone_is_forgotten_by_the_next_that_comes(database: Database) -> None:
    """After a day; one that was silent for a while is still known."""
    with database.write() as connection:
        now = database.now(connection)
        for name, silent_s in (("drained", 86_500), ("quiet", 86_300)):
            jobs.register_worker(connection, now, name, role="infer", version="0")
            moved = {"silent": silent_s, "name": name}
            connection.execute(text("UPDATE worker SET beat_at = beat_at - :silent WHERE id = :name"), moved)
        jobs.register_worker(connection, now, "new", role="infer", version="0")
    assert [("new",), ("quiet",)] == rows(database, "SELECT id FROM worker ORDER BY id")


def test_suspects_are_claimed_alone(database: Database) -> None:
    """A job whose worker died takes no innocent with it."""
    studies(database, 4)
    first = claim(database, limit=1)
    reap(database, dead=["w1"])
    batches = [claim(database, owner=f"w{n}") for n in range(2, 5)]
    assert [first[0].id] == [c.id for c in batches[0]]
    assert 3 == len(batches[1])
    assert [] == batches[2]


def test_a_poisonous_job_dies_and_is_named(database: Database) -> None:
    """After so many dead workers: dead, study failed, audit row; an operator can revive it."""
    arrive(database, 1)
    for n in range(3):
        claim(database, owner=f"w{n}")
        reap(database, dead=[f"w{n}"])
    assert [("dead", 3)] == rows(database, "SELECT state, crashes FROM job")
    assert [("failed",)] == rows(database, "SELECT state FROM study")
    assert [("job_dead",)] == rows(database, "SELECT what FROM audit WHERE what = 'job_dead'")
    with database.write() as connection:
        assert 1 == interventions.requeue(connection, database.now(connection), study_uid=STUDY, actor="operator")
    assert [("ready", 0, 0)] == rows(database, "SELECT state, attempts, crashes FROM job")
    assert [("operator",)] == rows(database, "SELECT actor FROM audit WHERE what = 'job_requeued'")


@pytest.mark.parametrize("word", ["retry", "release"])
def test_a_job_that_waits_for_long_does_not_die_of_unrelated_deaths(database: Database, word: str) -> None:
    """Each worker that comes to the end of it shows that it was not the job that killed the others."""
    arrive(database, 1)
    for n in range(4):
        claim(database, owner=f"w{n}")
        reap(database, dead=[f"w{n}"])
        assert [("ready", 1)] == rows(database, "SELECT state, crashes FROM job")
        (held,) = claim(database)
        with database.write() as connection:
            now = database.now(connection)
            if word == "retry":
                jobs.retry(connection, now, held, delay_s=0, error="the PACS does not answer")
            else:
                jobs.release(connection, now, held)
    assert [("ready", 0)] == rows(database, "SELECT state, crashes FROM job")


def test_a_worker_that_lost_sight_of_its_claims_clears_no_suspect(database: Database) -> None:
    """It gives back what it may never have come to."""
    arrive(database, 1)
    claim(database)
    reap(database, dead=["w1"])
    claim(database, owner="w2")
    with database.write() as connection:
        jobs.release_all(connection, database.now(connection), "w2", error="the store was away")
    assert [("ready", 1)] == rows(database, "SELECT state, crashes FROM job")


def test_a_living_workers_lease_is_left_alone(database: Database) -> None:
    """Heartbeats push the end of the lease."""
    arrive(database, 1)
    claim(database, lease_s=1.0)
    with database.write() as connection:
        assert 1 == jobs.renew(connection, database.now(connection), "w1", 60.0)
    assert [] == reap(database, after=5)


def test_retry_waits_and_bury_ends(database: Database) -> None:
    """Both keep the error where an operator sees it."""
    studies(database, 2)
    one, two = claim(database)
    with database.write() as connection:
        jobs.retry(connection, database.now(connection), one, delay_s=10, error="later")
        jobs.bury(connection, database.now(connection), two, error="never")
    assert [("ready", "later"), ("dead", "never")] == rows(database, "SELECT state, err FROM job ORDER BY id")
    assert [("received", ""), ("failed", "never")] == rows(database, "SELECT state, reason FROM study ORDER BY uid")
    assert [(two.study_uid,)] == rows(database, "SELECT subject FROM audit WHERE what = 'job_dead'")
    assert [] == claim(database)


def test_an_image_that_came_meanwhile_keeps_its_study_alive(database: Database) -> None:
    """What is buried is the old revision; the new one deserves its own attempts."""
    arrive(database, 1)
    (held,) = claim(database)
    arrive(database, 2)
    with database.write() as connection:
        jobs.bury(connection, database.now(connection), held, error="never")
    assert [("ready", 0)] == rows(database, "SELECT state, attempts FROM job")
    assert [("received",)] == rows(database, "SELECT state FROM study")


def test_a_worker_that_died_of_the_old_images_buries_no_new_one(database: Database) -> None:
    """The last crash that the study was allowed comes after a late image: the new revision is tried, alone."""
    arrive(database, 1)
    for n in range(2):
        claim(database, owner=f"w{n}")
        reap(database, dead=[f"w{n}"])
    claim(database, owner="w2")
    arrive(database, 2)
    reap(database, dead=["w2"])
    assert [("ready", 2, 1)] == rows(database, "SELECT state, rev, crashes FROM job")
    assert [("received",)] == rows(database, "SELECT state FROM study")


def test_released_work_counts_no_attempt(database: Database) -> None:
    """A worker that leaves in peace gives back what it did not begin."""
    arrive(database, 1)
    (held,) = claim(database)
    with database.write() as connection:
        jobs.release(connection, database.now(connection), held)
    (again,) = claim(database)
    assert (1, 1) == (held.attempts, again.attempts)


def test_the_same_job_is_added_once(database: Database) -> None:
    """An ambiguous commit is settled by the dedupe key."""

    def add() -> bool:
        with database.write() as connection:
            now = database.now(connection)
            return jobs.enqueue(connection, now, JobKind.BUILD, dedupe="b:1", study_uid="1", priority=50, payload={})

    assert [True, False] == [add(), add()]


def test_a_newer_versions_job_is_left_alone(database: Database) -> None:
    """While a node is upgraded, an old worker does not read what it cannot know."""
    arrive(database, 1)
    with database.write() as connection:
        connection.execute(text("UPDATE job SET payload_v = payload_v + 1"))
    assert [] == claim(database)


ANALYSES = {2: "740e408c5ce9"}
"""Fingerprint of the analysis's fields by the version of the jobs that read it."""


def test_who_cannot_read_an_analysis_does_not_build_it() -> None:
    """Another field wants a higher version: an older build worker would bury every study of a newer node."""
    values = (StudyAnalysis, Unread, FilmAnalysis, FilmRef, ModelAnswer, ModelRef, Finding, Code, Box, Heat)
    fields = "\n".join(f"{value.__name__}.{name}" for value in values for name in value.model_fields)
    assert ANALYSES == {jobs.PAYLOAD_VERSION: sha256(fields.encode()).hexdigest()[:12]}


def test_a_new_supervisor_voids_every_lease(database: Database) -> None:
    """The embedded node's workers died with the last one: their jobs are ready, and unharmed."""
    arrive(database, 1)
    (zombie,) = claim(database)
    with database.write() as connection:
        assert 1 == jobs.void_leases(connection, database.now(connection))
    assert [("ready", 0)] == rows(database, "SELECT state, crashes FROM job")
    with pytest.raises(jobs.Fenced):
        finish(database, zombie)


def test_a_claim_takes_its_own_lane_only(database: Database) -> None:
    """One destination never holds up another."""
    with database.write() as connection:
        for lane in ("down", "up"):
            now = database.now(connection)
            jobs.enqueue(
                connection, now, JobKind.DELIVER, dedupe=lane, study_uid="1", priority=50, payload={}, lane=lane
            )
    assert ["up"] == [c.lane for c in claim(database, JobKind.DELIVER, lane="up")]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_two_open_claims_do_not_wait_for_each_other(database: Database) -> None:
    """Row locks are skipped on PostgreSQL; SQLite has one writer at a time by design."""
    studies(database, 2)
    with database.write() as one, database.write() as two:
        now = database.now(one) + 0.001
        first = jobs.claim(one, now, JobKind.INFER, owner="w1", limit=1, lease_s=60)
        second = jobs.claim(two, now, JobKind.INFER, owner="w2", limit=1, lease_s=60)
    assert {"1.2.1", "1.2.2"} == {c.study_uid for c in (*first, *second)}
