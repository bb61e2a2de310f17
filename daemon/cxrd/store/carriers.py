"""Associations that still carry a study: while one is open, the study may not be complete.

Each association has one row, the study that it sent last. Its end, or its next study, lets the study go; a
listener that dies leaves a row that ends by itself. The rows are in the database because two images of one
study may come to two listeners.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from cxrd.store import jobs, schema, studies
from cxrd.store.schema import JobKind, JobState

_carrier, _job = schema.carrier.c, schema.job.c


def carry(
    connection: Connection, now: float, association: str, study_uid: str, *, quiet_period_s: float, hold_s: float
) -> None:
    """Note that an association sent an image of a study; the study it sent before is let go."""
    before = connection.execute(select(schema.carrier).where(_carrier.association == association)).first()
    row = {"study_uid": study_uid, "quiet_period_s": quiet_period_s, "until": now + hold_s}
    if before is None:
        connection.execute(schema.carrier.insert().values(association=association, **row))
        return
    connection.execute(update(schema.carrier).where(_carrier.association == association).values(**row))
    if before.study_uid != study_uid:
        _complete(connection, now, before.study_uid, before.quiet_period_s)


def let_go(connection: Connection, now: float, association: str) -> None:
    """Note that an association ended."""
    row = connection.execute(select(schema.carrier).where(_carrier.association == association)).first()
    if row is not None:
        connection.execute(delete(schema.carrier).where(_carrier.association == association))
        _complete(connection, now, row.study_uid, row.quiet_period_s)


def forget(connection: Connection, now: float) -> int:
    """Remove rows of associations whose listener died; how many. Their studies' jobs are due by themselves."""
    return connection.execute(delete(schema.carrier).where(_carrier.until < now)).rowcount


def _complete(connection: Connection, now: float, study_uid: str, quiet_period_s: float) -> None:
    """Let a study's analysis begin when its quiet period ends, unless another association still carries it."""
    studies.hold(connection, study_uid)  # two associations that end together would each see the other
    another = select(_carrier.association).where(_carrier.study_uid == study_uid, _carrier.until > now).limit(1)
    if connection.execute(another).first():
        return
    last = connection.execute(select(schema.study.c.last_at).where(schema.study.c.uid == study_uid)).scalar_one()
    due = max(now, last + quiet_period_s)
    waiting = _job.state.in_((JobState.READY, JobState.DELAYED))
    mine = (_job.kind == JobKind.INFER, _job.study_uid == study_uid, waiting, _job.due > due)
    connection.execute(update(schema.job).where(*mine).values(due=due, state=jobs.waiting_state(due - now)))
