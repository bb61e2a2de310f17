"""The only leased table: one claim, one finish, one reap (engine.md §5).

A claim hands out a fence number; every later word about the job must carry it. A worker whose lease was
taken over finds no row under its fence, raises :class:`Fenced`, and its whole transaction rolls back: leases
decide when work is tried again, never whether a result counts.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cxrd.errors import CxrdError
from cxrd.store import audit, schema
from cxrd.store.audit import What
from cxrd.store.schema import JobKind, JobState, StudyState

PAYLOAD_VERSION = 2
"""What it takes to do a job: a worker of a version that knows only lower ones leaves it alone.

Higher with each change of a payload, or of the analysis (``cxrd.findings.StudyAnalysis``) that a ``build`` job reads.
"""
STAT_PRIORITY = 0
ROUTINE_PRIORITY = 50
FETCH_PRIORITY = 90
FORGOTTEN_S = 86_400.0
PARK_S = 60.0
"""What is not due within this many seconds is delayed instead of ready (engine rule 7)."""

BESIDE_THE_STUDY = frozenset({JobKind.COMMITMENT, JobKind.FETCH})
"""Kinds of job whose end says nothing of how far a study is."""

_job = schema.job.c


class Fenced(CxrdError):
    """The lease was lost: another worker owns the job now, and nothing of this result may be written."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One job in one worker's hands.

    Attributes
    ----------
    fence : int
        Proof of ownership.
    rev : int
        Revision of the study when it was claimed; a higher one at the end opens the job again.
    attempts : int
        Claims so far, this one included.
    crashes : int
        Workers that died holding it, since one came to the end of it.
    """

    id: int
    kind: JobKind
    study_uid: str
    lane: str
    priority: int
    fence: int
    rev: int
    payload: Mapping[str, Any]
    attempts: int
    crashes: int


def claim(  # noqa: PLR0913 - each is a part of the statement
    connection: Connection,
    now: float,
    kind: JobKind,
    *,
    owner: str,
    limit: int,
    lease_s: float,
    lane: str = "",
) -> list[Claim]:
    """Lease what is due: STAT first, then the longest due.

    A job whose worker died comes alone, so that a poisonous one takes no innocent with it (engine rule 5).

    Parameters
    ----------
    lane : str
        Only jobs of this lane; what is not delivered has none.

    Returns
    -------
    list of Claim
        At most ``limit``; either clean jobs only or one suspect.
    """
    suspects = kind is JobKind.INFER
    ready = [
        _job.kind == kind,
        _job.lane == lane,
        _job.payload_v <= PAYLOAD_VERSION,
        _job.state == JobState.READY,
        _job.due <= now,
    ]
    order = (_job.priority, _job.due, _job.id)
    if suspects:
        first = connection.execute(select(_job.crashes).where(*ready).order_by(*order).limit(1)).scalar()
        if first:
            limit = 1
            ready.append(_job.crashes > 0)
        else:
            ready.append(_job.crashes == 0)
    picked = select(_job.id).where(*ready).order_by(*order).limit(limit).with_for_update(skip_locked=True).cte("picked")
    taken = (
        update(schema.job)
        .where(_job.id.in_(select(picked.c.id)))
        .values(
            state=JobState.LEASED,
            owner=owner,
            fence=_job.fence + 1,
            attempts=_job.attempts + 1,  # counted at the claim, so that a kill counts
            lease_until=now + lease_s,
        )
        .returning(*(_job[name] for name in Claim.__slots__), _job.due)
    )
    rows = sorted(connection.execute(taken).all(), key=lambda row: (row.priority, row.due, row.id))
    return [_claim(row) for row in rows]


def _claim(row: Row[Any]) -> Claim:
    found = {name: getattr(row, name) for name in Claim.__slots__}
    return Claim(**{**found, "kind": JobKind(row.kind)})


def finish(connection: Connection, now: float, held: Claim) -> None:
    """Close a claim; a study that changed meanwhile is ready again at once.

    Raises
    ------
    Fenced
        The job is no longer ours.
    """
    moved = _job.rev > held.rev
    _mine(
        connection,
        held,
        state=case((moved, JobState.READY.value), else_=JobState.DONE.value),
        lease_until=None,
        finished_at=now,
        attempts=case((moved, 0), else_=_job.attempts),  # those belong to the revision that is done
        crashes=0,
        err="",
    )


def retry(connection: Connection, now: float, held: Claim, *, delay_s: float, error: str) -> None:
    """Give a claim back to be tried after ``delay_s`` seconds.

    Its crashes are forgotten: a worker came to the end of it, so those that died before did not die of it.
    """
    _mine(connection, held, state=waiting_state(delay_s), due=now + delay_s, lease_until=None, crashes=0, err=error)


def release(connection: Connection, now: float, held: Claim, *, error: str = "", delay_s: float = 0.0) -> None:
    """Give a claim back unharmed, for ``delay_s`` seconds from now; its crashes are forgotten as by :func:`retry`."""
    again = {"state": waiting_state(delay_s), "due": now + delay_s, "lease_until": None, "crashes": 0}
    again["attempts"] = held.attempts - 1
    _mine(connection, held, **again | ({"err": error} if error else {}))


def release_all(connection: Connection, now: float, owner: str, *, error: str) -> int:
    """Give back, with the error but unharmed, whatever a worker holds that lost sight of its claims; how many.

    Crashes are kept: it may not have come to any of them.
    """
    mine = and_(_job.owner == owner, _job.state == JobState.LEASED)
    ready = {"state": JobState.READY, "due": now, "lease_until": None, "attempts": _job.attempts - 1, "err": error}
    return connection.execute(update(schema.job).where(mine).values(**ready)).rowcount


def bury(connection: Connection, now: float, held: Claim, *, error: str) -> None:
    """Stop trying; an operator may revive it (``interventions``), and an image that came meanwhile does so at once."""
    moved = _job.rev > held.rev
    _mine(
        connection,
        held,
        state=case((moved, JobState.READY.value), else_=JobState.DEAD.value),
        attempts=case((moved, 0), else_=_job.attempts),
        lease_until=None,
        finished_at=now,
        err=error,
    )
    if connection.execute(select(_job.state).where(_job.id == held.id)).scalar_one() == JobState.DEAD:
        _mourn(connection, now, held.id, held.kind, held.study_uid, error)


def bury_unclaimed(connection: Connection, now: float, row: Row[Any], *, error: str) -> None:
    """Stop trying a job that nobody holds."""
    dead = {"state": JobState.DEAD, "finished_at": now, "err": error}
    waiting = _job.state.in_((JobState.READY, JobState.DELAYED))
    connection.execute(update(schema.job).where(_job.id == row.id, waiting).values(**dead))
    _mourn(connection, now, row.id, row.kind, row.study_uid, error)


def _mine(connection: Connection, held: Claim, **values: Any) -> None:
    mine = and_(_job.id == held.id, _job.fence == held.fence, _job.state == JobState.LEASED)
    if connection.execute(update(schema.job).where(mine).values(**values)).rowcount != 1:
        raise Fenced(f"job {held.id} is in another worker's hands")


def _mourn(connection: Connection, now: float, job_id: int, kind: str, study_uid: str, error: str) -> None:
    if kind not in BESIDE_THE_STUDY:
        failed = {"state": StudyState.FAILED, "reason": error}
        connection.execute(update(schema.study).where(schema.study.c.uid == study_uid).values(**failed))
    audit.record(connection, now, What.JOB_DEAD, study_uid, {"job": job_id, "kind": str(kind), "error": error})


def renew(connection: Connection, now: float, owner: str, lease_s: float) -> int:
    """Push the end of every lease of a worker and of its threads, and note its heartbeat; how many leases."""
    connection.execute(update(schema.worker).where(schema.worker.c.id == owner).values(beat_at=now))
    mine = and_(_owned_by(owner), _job.state == JobState.LEASED)
    return connection.execute(update(schema.job).where(mine).values(lease_until=now + lease_s)).rowcount


def _owned_by(worker: str) -> ColumnElement[bool]:
    """A worker's threads claim under its id, a ``#`` and a number."""
    return or_(_job.owner == worker, _job.owner.startswith(f"{worker}#", autoescape=True))


def reap(connection: Connection, now: float, *, max_crashes: int, dead_owners: Collection[str] = ()) -> list[int]:
    """Take jobs from workers that are gone; a job that outlived ``max_crashes`` workers is dead.

    Parameters
    ----------
    dead_owners : collection of str
        Workers known to be dead, whatever their leases say.

    Returns
    -------
    list of int
        Ids of the jobs that were taken back or buried.
    """
    gone = and_(_job.state == JobState.LEASED, or_(_job.lease_until < now, *(_owned_by(dead) for dead in dead_owners)))
    rows = connection.execute(select(schema.job).where(gone).with_for_update(skip_locked=True)).all()
    for row in rows:
        poison = row.crashes + 1 >= max_crashes
        error = f"its worker died {row.crashes + 1} times" if poison else row.err
        state = JobState.DEAD if poison else JobState.READY
        values = {"state": state, "crashes": row.crashes + 1, "lease_until": None, "fence": row.fence + 1, "err": error}
        connection.execute(update(schema.job).where(_job.id == row.id).values(**values))
        audit.record(
            connection, now, What.JOB_REAPED, row.study_uid, {"job": row.id, "kind": row.kind, "owner": row.owner}
        )
        if poison:
            _mourn(connection, now, row.id, row.kind, row.study_uid, error)
    if dead_owners:
        connection.execute(delete(schema.worker).where(schema.worker.c.id.in_(dead_owners)))
    return [row.id for row in rows]


def void_leases(connection: Connection, now: float) -> int:
    """Give back every lease, unharmed: the embedded node's workers all died with their supervisor; how many."""
    connection.execute(delete(schema.worker))
    values = {"state": JobState.READY, "lease_until": None, "fence": _job.fence + 1, "due": now}
    return connection.execute(update(schema.job).where(_job.state == JobState.LEASED).values(**values)).rowcount


def waiting_state(wait_s: float) -> JobState:
    """State of a job that is due in so many seconds."""
    return JobState.DELAYED if wait_s > PARK_S else JobState.READY


def promote(connection: Connection, now: float, *, ahead_s: float) -> int:
    """Make delayed jobs ready that are due within ``ahead_s`` seconds; how many."""
    due = and_(_job.state == JobState.DELAYED, _job.due <= now + ahead_s)
    return connection.execute(update(schema.job).where(due).values(state=JobState.READY)).rowcount


def clamp(connection: Connection, now: float, *, longest_wait_s: float, lease_s: float) -> int:
    """Bring times back that only a clock that was set back explains; how many jobs.

    Parameters
    ----------
    longest_wait_s : float
        No job is ever made to wait longer than this, so one that is due later is due now.
    lease_s : float
        Likewise the longest lease.
    """
    waiting = _job.state.in_((JobState.READY, JobState.DELAYED))
    late = and_(waiting, _job.due > now + longest_wait_s)
    found = connection.execute(update(schema.job).where(late).values(due=now, state=JobState.READY)).rowcount
    held = and_(_job.state == JobState.LEASED, _job.lease_until > now + 2 * lease_s)
    found += connection.execute(update(schema.job).where(held).values(lease_until=now + lease_s)).rowcount
    return found


def enqueue(  # noqa: PLR0913 - each is a column
    connection: Connection,
    now: float,
    kind: JobKind,
    *,
    dedupe: str,
    study_uid: str,
    priority: int,
    payload: Mapping[str, Any],
    lane: str = "",
    due: float | None = None,
) -> bool:
    """Add a job; False when one of the same ``dedupe`` key exists, whatever became of it."""
    row = _row(now, kind, dedupe, study_uid, priority, now if due is None else due)
    row |= {"payload": dict(payload), "lane": lane}
    added = dialect_insert(connection, schema.job).values(**row).on_conflict_do_nothing(index_elements=["dedupe"])
    # by RETURNING: PostgreSQL drivers do not tell a row count of such an insert
    return connection.execute(added.returning(_job.id)).first() is not None


def debounce(connection: Connection, now: float, *, study_uid: str, priority: int, due: float) -> None:
    """Note that a study changed: its ``infer`` job moves to ``due`` and to the next revision.

    A job that is leased stays leased; ``finish`` sees the higher revision and opens it again. Its crashes are
    forgotten even then, so that a worker that dies of the old revision does not bury the new one.
    """
    row = _row(now, JobKind.INFER, f"infer:{study_uid}", study_uid, priority, due)
    leased = schema.job.c.state == JobState.LEASED
    statement = dialect_insert(connection, schema.job).values(**row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["dedupe"],
            set_={
                "rev": _job.rev + 1,
                "due": bindparam("due_again", due),
                "priority": case((_job.priority < priority, _job.priority), else_=priority),
                "state": case((leased, _job.state), else_=waiting_state(due - now).value),
                "attempts": case((leased, _job.attempts), else_=0),
                "crashes": 0,
            },
        )
    )


def register_worker(connection: Connection, now: float, worker_id: str, *, role: str, version: str) -> None:
    """Make a worker known before its first claim, and forget those that have not beaten for a day.

    Nobody else forgets a host that died with its supervisor.
    """
    connection.execute(delete(schema.worker).where(schema.worker.c.beat_at < now - FORGOTTEN_S))
    boot = Path("/proc/sys/kernel/random/boot_id")
    row = {
        "id": worker_id,
        "host": socket.gethostname(),
        "boot_id": boot.read_text().strip() if boot.exists() else "",
        "pid": os.getpid(),
        "role": role,
        "version": version,
        "beat_at": now,
    }
    connection.execute(insert(schema.worker).values(**row))


def forget_worker(connection: Connection, worker_id: str) -> None:
    """Take a worker that leaves in order off the list; what it might still hold ends with its lease."""
    connection.execute(delete(schema.worker).where(schema.worker.c.id == worker_id))


def dialect_insert(connection: Connection, table: Any) -> Any:
    """INSERT with ON CONFLICT, which both databases speak and SQLAlchemy keeps in their dialects."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _row(now: float, kind: JobKind, dedupe: str, study_uid: str, priority: int, due: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "dedupe": dedupe,
        "study_uid": study_uid,
        "lane": "",
        "priority": priority,
        "state": waiting_state(due - now),
        "due": due,
        "rev": 1,
        "attempts": 0,
        "crashes": 0,
        "fence": 0,
        "owner": "",
        "payload": {},
        "payload_v": PAYLOAD_VERSION,
        "err": "",
        "created_at": now,
    }
