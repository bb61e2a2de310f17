"""Deliveries that were done and are opened again, with the same bytes and the reason."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, update

from cxrd.store import jobs, results, schema
from cxrd.store.outstanding import delivery_key
from cxrd.store.schema import JobState, StudyState


@dataclass(frozen=True, slots=True)
class Sent:
    """One object and one destination, as the database has it."""

    study_uid: str
    sop_uid: str
    inference_id: int
    dest: str
    stored: bool


def open_again(connection: Connection, now: float, sent: Sent, *, error: str, due: float) -> None:
    """Send an object again that its destination took once: from ``due`` on, for the reason ``error``."""
    d, s = schema.delivery.c, schema.study.c
    connection.execute(
        update(schema.delivery)
        .where(d.artefact_uid == sent.sop_uid, d.dest == sent.dest)
        .values(stored_at=None, committed_at=None, status_code=None, error=error)
    )
    if not reopen_job(connection, now, delivery_key(sent.inference_id, sent.dest), due=due):
        # retention has removed the row of the job that was done
        results.enqueue_delivery(
            connection, now, sent.inference_id, sent.dest, sent.study_uid, jobs.ROUTINE_PRIORITY, due=due
        )
    connection.execute(update(schema.study).where(s.uid == sent.study_uid).values(state=StudyState.REPORTED))


def reopen_job(connection: Connection, now: float, dedupe: str, *, due: float) -> bool:
    """Make a job due, whatever became of it; one that is leased is opened by its own end, which sees the revision.

    Returns
    -------
    bool
        Whether there is such a job.
    """
    j = schema.job.c
    leased = j.state == JobState.LEASED
    found = connection.execute(
        update(schema.job)
        .where(j.dedupe == dedupe)
        .values(
            rev=j.rev + 1,
            due=due,
            state=case((leased, j.state), else_=jobs.waiting_state(due - now).value),
            attempts=case((leased, j.attempts), else_=0),
            crashes=case((leased, j.crashes), else_=0),
        )
    )
    return found.rowcount > 0
