"""What an operator may do to work that waits or has stopped; each is told in the audit trail, with who wanted it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from cxrd.store import audit, jobs, schema
from cxrd.store.audit import What
from cxrd.store.schema import JobKind, JobState, StudyState

_job, _study = schema.job.c, schema.study.c
_WAITING = (JobState.READY, JobState.DELAYED)
_REACHED = {JobKind.INFER: StudyState.RECEIVED, JobKind.BUILD: StudyState.ANALYSED}
"""How far a study is whose job of this kind is open again; of every later kind it is reported."""


def requeue(connection: Connection, now: float, *, study_uid: str, actor: str) -> int:
    """Revive a study's dead and delayed jobs, or analyse it anew when it has none; how many jobs are ready again."""
    mine = _job.study_uid == study_uid
    stopped = _job.state.in_((JobState.DEAD, JobState.DELAYED))
    rows = connection.execute(select(schema.job).where(mine, stopped).order_by(_job.id).with_for_update()).all()
    for row in rows:
        _revive(connection, now, row)
    revived = len(rows) or _analyse_again(connection, now, study_uid)
    if revived:
        audit.record(connection, now, What.JOB_REQUEUED, study_uid, {"jobs": revived}, actor=actor)
    return revived


def _analyse_again(connection: Connection, now: float, study_uid: str) -> int:
    """Analyse a study anew whose jobs are all done; how many jobs that opens."""
    mine = _job.study_uid == study_uid
    again = and_(mine, _job.kind == JobKind.INFER, _job.state != JobState.LEASED)
    revived = connection.execute(update(schema.job).where(again).values(**_fresh(now), rev=_job.rev + 1)).rowcount
    if not revived and not connection.execute(select(_job.id).where(mine, _job.kind == JobKind.INFER)).first():
        stat = connection.execute(select(_study.stat).where(_study.uid == study_uid)).scalar()
        if stat is not None:  # retention has removed the row of the job that was done
            priority = jobs.STAT_PRIORITY if stat else jobs.ROUTINE_PRIORITY
            jobs.debounce(connection, now, study_uid=study_uid, priority=priority, due=now)
            revived = 1
    if revived:
        received = {"state": StudyState.RECEIVED, "reason": ""}
        connection.execute(update(schema.study).where(_study.uid == study_uid).values(**received))
    return revived


def _revive(connection: Connection, now: float, row: Row[Any]) -> None:
    """Make a job ready; a study that failed by it is where it was before."""
    connection.execute(update(schema.job).where(_job.id == row.id).values(**_fresh(now)))
    if row.state == JobState.DEAD and row.kind not in jobs.BESIDE_THE_STUDY:
        reached = _REACHED.get(row.kind, StudyState.REPORTED)  # kinds of a newer version too
        stopped = (_study.uid == row.study_uid, _study.state == StudyState.FAILED)
        connection.execute(update(schema.study).where(*stopped).values(state=reached, reason=""))


def _fresh(now: float) -> dict[str, Any]:
    return {"state": JobState.READY, "due": now, "attempts": 0, "crashes": 0, "err": ""}


def retry(  # noqa: PLR0913 - each limits which jobs
    connection: Connection,
    now: float,
    *,
    actor: str,
    ids: Sequence[int] = (),
    study_uid: str | None = None,
    kind: str | None = None,
    lane: str | None = None,
) -> list[Row[Any]]:
    """Work at once on what is dead, or waits because it failed; without a limit, on all of that.

    Parameters
    ----------
    ids : sequence of int
        Only these jobs.
    study_uid, kind, lane : str or None
        Only jobs of this study, of this stage, of this destination.

    Returns
    -------
    list of Row
        The jobs, as they were.
    """
    failed = or_(_job.state == JobState.DEAD, and_(_job.state.in_(_WAITING), _job.attempts > 0, _job.due > now))
    wanted = [failed]
    if ids:
        wanted.append(_job.id.in_(ids))
    limits = ((_job.study_uid, study_uid), (_job.kind, kind), (_job.lane, lane))
    wanted += [column == value for column, value in limits if value is not None]
    rows = connection.execute(select(schema.job).where(*wanted).order_by(_job.id).with_for_update()).all()
    for row in rows:
        _revive(connection, now, row)
        told = {"job": row.id, "kind": row.kind, "lane": row.lane, "was": row.state}
        audit.record(connection, now, What.JOB_REQUEUED, row.study_uid, told, actor=actor)
    return list(rows)


def cancel(connection: Connection, now: float, job_id: int, *, actor: str) -> str | None:
    """Stop a job that waits; it stays as dead, and can be retried.

    Returns
    -------
    str or None
        The state that keeps it from being cancelled, "" when it is cancelled, None when there is no such job.
    """
    row = connection.execute(select(schema.job).where(_job.id == job_id).with_for_update()).first()
    if row is None:
        return None
    if row.state not in _WAITING:
        return str(row.state)
    audit.record(connection, now, What.JOB_CANCELLED, row.study_uid, {"job": row.id, "kind": row.kind}, actor=actor)
    jobs.bury_unclaimed(connection, now, row, error=f"cancelled by {actor}")
    return ""
