"""What an operator asks of the queue."""

from __future__ import annotations

from threading import Thread

from cxrd.store import interventions, jobs
from cxrd.store.database import Database
from cxrd.store.studies import hold
from support.rows import STUDY, arrive, claim, rows


def finish(database: Database, held: jobs.Claim) -> None:
    """Finish a claim."""
    with database.write() as connection:
        jobs.finish(connection, database.now(connection), held)


def test_a_study_without_dead_jobs_is_analysed_anew_on_request(database: Database) -> None:
    """Requeue after a change of models or configuration."""
    arrive(database, 1)
    finish(database, claim(database)[0])
    with database.write() as connection:
        assert 1 == interventions.requeue(connection, database.now(connection), study_uid=STUDY, actor="operator")
    assert [("ready", 2)] == rows(database, "SELECT state, rev FROM job")


def test_a_study_at_work_or_unknown_is_not_requeued(database: Database) -> None:
    """Nothing is taken from a worker's hands, and nothing is told that did not happen."""
    arrive(database, 1)
    claim(database)
    with database.write() as connection:
        now = database.now(connection)
        found = [interventions.requeue(connection, now, study_uid=uid, actor="operator") for uid in (STUDY, "1.9")]
    assert [0, 0] == found
    assert [("leased",)] == rows(database, "SELECT state FROM job")
    assert [] == rows(database, "SELECT what FROM audit WHERE what = 'job_requeued'")


def test_a_job_is_cancelled_while_an_image_of_its_study_arrives(database: Database) -> None:
    """Both need the study and its job: locked in another order, both would wait and one is thrown out."""
    arrive(database, 1)
    said: list[str | None] = []

    def cancel() -> None:
        with database.write() as connection:
            said.append(interventions.cancel(connection, database.now(connection), 1, actor="operator"))

    other = Thread(target=cancel)
    with database.write() as connection:
        hold(connection, STUDY)
        other.start()
        other.join(timeout=1)  # it waits for us
        jobs.debounce(connection, database.now(connection), study_uid=STUDY, priority=50, due=0.0)
    other.join(timeout=30)
    assert [""] == said
    assert [("dead",)] == rows(database, "SELECT state FROM job")
