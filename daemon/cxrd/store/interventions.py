"""What an operator may do to work that waits or has stopped; each is told in the audit trail, with who wanted it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from cxrd.errors import CxrdError
from cxrd.store import audit, jobs, results, schema, studies, views
from cxrd.store.audit import What
from cxrd.store.schema import JobKind, JobState, StudyState

REASON_LENGTH = 200

_job, _study = schema.job.c, schema.study.c
_WAITING = (JobState.READY, JobState.DELAYED)
_REACHED = {JobKind.INFER: StudyState.RECEIVED, JobKind.BUILD: StudyState.ANALYSED}
"""How far a study is whose job of this kind is open again; of every later kind it is reported."""


class Declined(CxrdError):
    """What an operator asked for cannot be done, and nothing was."""


def requeue(connection: Connection, now: float, *, study_uid: str, actor: str) -> int:
    """Revive a study's dead, dismissed and delayed jobs, or analyse it anew when it has none; how many are ready again.

    Raises
    ------
    Declined
        Retention has removed the films that it would be analysed from.
    """
    stopped = _job.state.in_((JobState.DEAD, JobState.DISMISSED, JobState.DELAYED))
    found = _locked(connection, [_job.study_uid == study_uid, stopped])
    rows = [row for row in found if not _lost(connection, row)]
    for row in rows:
        _revive(connection, now, row)
    revived = len(rows) or _analyse_again(connection, now, study_uid)
    if revived:
        audit.record(connection, now, What.JOB_REQUEUED, study_uid, {"jobs": revived}, actor=actor)
    return revived


def _locked(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> Sequence[Row[Any]]:
    """Jobs with their studies' rows locked first, as whoever settles or removes something of a study locks it."""
    query = select(_job.study_uid).where(*wanted).distinct().order_by(_job.study_uid)
    for study_uid in connection.execute(query).scalars().all():
        studies.hold(connection, study_uid)
    return connection.execute(select(schema.job).where(*wanted).order_by(_job.id).with_for_update()).all()


def _lost(connection: Connection, row: Row[Any]) -> str:
    """What retention has removed that a job cannot do without; it removes nothing before a job is done or dismissed."""
    if row.state != JobState.DISMISSED:
        return ""
    if row.kind == JobKind.DELIVER:
        a = schema.artefact.c
        gone = (a.inference_id == int(row.payload["inference_id"]), a.removed_at.is_not(None))
        return "objects" if connection.execute(select(a.sop_uid).where(*gone).limit(1)).first() else ""
    films = row.kind in (JobKind.INFER, JobKind.BUILD) and views.removed_films(connection, row.study_uid)
    return "films" if films else ""


def _analyse_again(connection: Connection, now: float, study_uid: str) -> int:
    """Analyse a study anew whose jobs are all done; how many jobs that opens."""
    studies.hold(connection, study_uid)
    if gone := views.removed_films(connection, study_uid):
        raise Declined(
            f"retention has removed {gone} film(s) of study {study_uid}", hint="send the study again, then ask again"
        )
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
    """Make a job ready; a study that came to its end by it is where it was before."""
    connection.execute(update(schema.job).where(_job.id == row.id).values(**_fresh(now)))
    if row.state in (JobState.DEAD, JobState.DISMISSED) and row.kind not in jobs.BESIDE_THE_STUDY:
        reached = _REACHED.get(row.kind, StudyState.REPORTED)  # kinds of a newer version too
        ended = (_study.uid == row.study_uid, _study.state.in_((StudyState.FAILED, StudyState.DISMISSED)))
        connection.execute(update(schema.study).where(*ended).values(state=reached, reason=""))


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
        Only these jobs; what is dismissed is revived only when it is named here.
    study_uid, kind, lane : str or None
        Only jobs of this study, of this stage, of this destination.

    Returns
    -------
    list of Row
        The jobs, as they were.

    Raises
    ------
    Declined
        Retention has removed what one of them needs.
    """
    failed = or_(_job.state == JobState.DEAD, and_(_job.state.in_(_WAITING), _job.attempts > 0, _job.due > now))
    named = or_(failed, _job.state == JobState.DISMISSED) if ids else failed
    rows = _locked(connection, [named, *_limits(ids, study_uid, kind, lane)])
    for row in rows:
        if lost := _lost(connection, row):
            raise Declined(
                f"retention has removed the {lost} that job {row.id} needs",
                hint=f"send the study again, then cxrd studies requeue {row.study_uid}",
            )
        _revive(connection, now, row)
        told = {"job": row.id, "kind": row.kind, "lane": row.lane, "was": row.state}
        audit.record(connection, now, What.JOB_REQUEUED, row.study_uid, told, actor=actor)
    return list(rows)


def _limits(ids: Sequence[int], study_uid: str | None, kind: str | None, lane: str | None) -> list[ColumnElement[bool]]:
    limits = ((_job.study_uid, study_uid), (_job.kind, kind), (_job.lane, lane))
    chosen: list[ColumnElement[bool]] = [column == value for column, value in limits if value is not None]
    return [_job.id.in_(ids), *chosen] if ids else chosen


def dismiss(  # noqa: PLR0913 - each limits which jobs
    connection: Connection,
    now: float,
    *,
    actor: str,
    reason: str,
    ids: Sequence[int] = (),
    study_uid: str | None = None,
    lane: str | None = None,
) -> list[Row[Any]]:
    """Wait no more for what is dead; it is never called done, and can be revived while its bytes are kept.

    Parameters
    ----------
    reason : str
        Why, on one line, for the audit trail; nothing about a patient.
    ids : sequence of int
        Only these jobs.
    study_uid, lane : str or None
        Only jobs of this study, of this destination.

    Returns
    -------
    list of Row
        The jobs, as they were.

    Raises
    ------
    Declined
        There is no reason, or it is no short line of text.
    """
    reason = " ".join(reason.split())
    if not (0 < len(reason) <= REASON_LENGTH and reason.isprintable()):
        raise Declined(
            "a dismissal needs its reason", hint=f"one line of at most {REASON_LENGTH} characters, for the audit trail"
        )
    rows = _locked(connection, [_job.state == JobState.DEAD, *_limits(ids, study_uid, None, lane)])
    for row in rows:
        ended = {"state": JobState.DISMISSED, "finished_at": now}
        said = f"dismissed by {actor}: {reason}" + (f" ({row.err})" if row.err else "")
        connection.execute(update(schema.job).where(_job.id == row.id).values(**ended, err=said))
        told = {"job": row.id, "kind": row.kind, "lane": row.lane, "reason": reason, "error": row.err}
        audit.record(connection, now, What.JOB_DISMISSED, row.study_uid, told, actor=actor)
    for uid in sorted({row.study_uid for row in rows if row.kind not in jobs.BESIDE_THE_STUDY}):
        if connection.execute(select(_study.state).where(_study.uid == uid)).scalar() == StudyState.FAILED:
            results.settle(connection, now, uid)
    return list(rows)


def cancel(connection: Connection, now: float, job_id: int, *, actor: str) -> str | None:
    """Stop a job that waits; it stays as dead, and can be retried or dismissed.

    Returns
    -------
    str or None
        The state that keeps it from being cancelled, "" when it is cancelled, None when there is no such job.
    """
    row = next(iter(_locked(connection, [_job.id == job_id])), None)
    if row is None:
        return None
    if row.state not in _WAITING:
        return str(row.state)
    audit.record(connection, now, What.JOB_CANCELLED, row.study_uid, {"job": row.id, "kind": row.kind}, actor=actor)
    jobs.bury_unclaimed(connection, now, row, error=f"cancelled by {actor}")
    return ""
