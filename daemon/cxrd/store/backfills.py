"""An archive's past as jobs of its lane: slices of study dates that are searched, studies that are fetched.

What is left to do is what waits in the queue, so nothing else has to survive a kill. A slice is searched when no
study waits, so a past of a million studies never lies in the queue at once. One backfill at a time has an archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, exists, func, insert, select, update

from cxrd.store import audit, jobs, lanes, schema
from cxrd.store.audit import What
from cxrd.store.schema import BackfillState, FetchState, JobKind, JobState

SLICE_PRIORITY = jobs.FETCH_PRIORITY + 1
BACKLOG = 32
"""Studies that may wait to be analysed while more are fetched: what comes in beyond that would only fill the disk."""

_backfill, _study, _job = schema.backfill.c, schema.backfill_study.c, schema.job.c
_OPEN = (JobState.READY, JobState.DELAYED, JobState.LEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a study: images that the archive told of, and that are here; why, where that is not all."""

    state: FetchState
    expected: int = 0
    stored: int = 0
    reason: str = ""


def start(  # noqa: PLR0913 - what a backfill is
    connection: Connection,
    now: float,
    archive: str,
    *,
    first: str,
    last: str,
    slices: Iterable[Mapping[str, Any]],
    actor: str,
) -> int | None:
    """Begin a backfill; its id, or None while the archive has another one.

    Parameters
    ----------
    first, last : str
        Study dates (DA).
    slices : iterable of mapping
        Parts of the range, each as JSON, in the order of their search.
    """
    lanes.register(connection, [archive], kind=JobKind.FETCH)
    connection.execute(select(schema.dest.c.name).where(schema.dest.c.name == archive).with_for_update())
    if running(connection, archive) is not None:
        return None
    connection.execute(update(schema.dest).where(schema.dest.c.name == archive).values(paused=False))
    row = {
        "archive": archive,
        "first_date": first,
        "last_date": last,
        "state": BackfillState.RUNNING,
        "started_at": now,
    }
    made = int(connection.execute(insert(schema.backfill).values(**row).returning(_backfill.id)).scalar_one())
    for number, part in enumerate(slices):
        add_slice(connection, now + number * 1e-6, archive, made, part)  # the order is that of their due times
    audit.record(connection, now, What.BACKFILL_STARTED, archive, {"id": made, "from": first, "to": last}, actor=actor)
    return made


def add_slice(connection: Connection, now: float, archive: str, backfill_id: int, part: Mapping[str, Any]) -> None:
    """Have a part of the range searched."""
    jobs.enqueue(
        connection,
        now,
        JobKind.FETCH,
        dedupe=f"fetch:{backfill_id}:slice:" + ":".join(str(value) for value in part.values()),
        study_uid="",
        priority=SLICE_PRIORITY,
        payload={"backfill": backfill_id, "slice": dict(part)},
        lane=archive,
    )


def add_studies(connection: Connection, now: float, held: jobs.Claim, studies: Mapping[str, str]) -> int:
    """Have studies fetched, given with their study dates; how many are new to this backfill."""
    backfill_id, new = int(held.payload["backfill"]), 0
    for study_uid, study_date in studies.items():
        if not jobs.enqueue(
            connection,
            now,
            JobKind.FETCH,
            dedupe=f"fetch:{backfill_id}:{study_uid}",
            study_uid=study_uid,
            priority=jobs.FETCH_PRIORITY,
            payload={"backfill": backfill_id},
            lane=held.lane,
        ):
            continue
        row = {"backfill_id": backfill_id, "study_uid": study_uid, "study_date": study_date[:16]}
        waiting = {"state": FetchState.WAITING, "expected": 0, "stored": 0, "reason": "", "at": now}
        connection.execute(insert(schema.backfill_study).values(**row, **waiting))
        new += 1
    return new


def goes_on(connection: Connection, held: jobs.Claim) -> bool:
    """Whether the backfill of a claim was not cancelled; none cancels it before this transaction has ended.

    To be asked after the lane's row was written, which is the order in which they are locked.
    """
    mine = select(_backfill.state).where(_backfill.id == int(held.payload["backfill"])).with_for_update()
    return connection.execute(mine).scalar() == BackfillState.RUNNING


def searched(connection: Connection, now: float, held: jobs.Claim, *, found: int, new: int, error: str = "") -> None:
    """Close a slice that was searched; ``error`` says why not to its end."""
    jobs.finish(connection, now, held)
    told = {"slice": held.payload["slice"], "id": held.payload["backfill"], "studies": found, "new": new}
    audit.record(connection, now, What.BACKFILL_SEARCHED, held.lane, {**told, "error": error})
    _end_if_done(connection, now, held)


def note(connection: Connection, now: float, held: jobs.Claim, outcome: Outcome) -> None:
    """Write down what a study that still waits has come to, and why."""
    mine = (_study.backfill_id == int(held.payload["backfill"]), _study.study_uid == held.study_uid)
    row = {"state": outcome.state, "expected": outcome.expected, "stored": outcome.stored, "reason": outcome.reason}
    connection.execute(update(schema.backfill_study).where(*mine).values(**row, at=now))


def settle(connection: Connection, now: float, held: jobs.Claim, outcome: Outcome) -> None:
    """Close a study: complete, without films, or given up."""
    jobs.finish(connection, now, held)
    note(connection, now, held, outcome)
    what = What.STUDY_NOT_FETCHED if outcome.state is FetchState.FAILED else What.STUDY_FETCHED
    told = {"archive": held.lane, "expected": outcome.expected, "stored": outcome.stored, "reason": outcome.reason}
    audit.record(connection, now, what, held.study_uid, {**told, "state": str(outcome.state)})
    _end_if_done(connection, now, held)


def stored(connection: Connection, sop_uids: Collection[str]) -> set[str]:
    """Which of these images are here, admitted, refused or kept aside."""
    found: set[str] = set()
    for table in (schema.instance, schema.quarantine):
        query = select(table.c.sop_uid).where(table.c.sop_uid.in_(sop_uids))
        found.update(str(uid) for uid in connection.execute(query).scalars())
    return found


def known_studies(connection: Connection, study_uids: Collection[str]) -> set[str]:
    """Which of these studies have images here."""
    query = select(schema.study.c.uid).where(schema.study.c.uid.in_(study_uids))
    return {str(uid) for uid in connection.execute(query).scalars()}


def is_fetched(connection: Connection, study_uid: str) -> bool:
    """Whether an archive is sending a study because we asked for it."""
    mine = (_job.study_uid == study_uid, _job.kind == JobKind.FETCH, _job.state == JobState.LEASED)
    return connection.execute(select(_job.id).where(*mine).limit(1)).first() is not None


def backlogged(connection: Connection) -> bool:
    """Whether as many studies wait to be analysed as may."""
    waiting = select(_job.id).where(_job.kind == JobKind.INFER, _job.lane == "", _job.state == JobState.READY)
    return (
        int(connection.execute(select(func.count()).select_from(waiting.limit(BACKLOG).subquery())).scalar_one())
        >= BACKLOG
    )


def running(connection: Connection, archive: str) -> int | None:
    """The backfill that an archive has, None when it has none."""
    mine = (_backfill.archive == archive, _backfill.state == BackfillState.RUNNING)
    return connection.execute(select(_backfill.id).where(*mine)).scalar()


def pause(connection: Connection, now: float, archive: str, *, actor: str) -> bool:
    """Let an archive not be asked; what is being fetched now is finished. False when it has no backfill."""
    return running(connection, archive) is not None and lanes.pause(connection, now, archive, paused=True, actor=actor)


def resume(connection: Connection, now: float, archive: str, *, actor: str) -> bool:
    """Let an archive be asked again, and revive what died; False when it has no backfill."""
    if running(connection, archive) is None:
        return False
    lanes.pause(connection, now, archive, paused=False, actor=actor)
    dead = (_job.kind == JobKind.FETCH, _job.lane == archive, _job.state == JobState.DEAD)
    ready = {"state": JobState.READY, "due": now, "attempts": 0, "crashes": 0, "err": ""}
    connection.execute(update(schema.job).where(*dead).values(**ready))
    return True


def cancel(connection: Connection, now: float, archive: str, *, actor: str) -> bool:
    """Fetch nothing more; what is being fetched now is finished. False when the archive has no backfill."""
    mine = (_backfill.archive == archive, _backfill.state == BackfillState.RUNNING)
    # locked first: a slice that is being closed has queued its studies, or sees that it must not
    backfill_id = connection.execute(select(_backfill.id).where(*mine).with_for_update()).scalar()
    if backfill_id is None:
        return False
    unheld = _job.state.in_((*_OPEN[:2], JobState.DEAD, JobState.DISMISSED))
    waiting = (_job.kind == JobKind.FETCH, _job.lane == archive, unheld)
    over = {"state": JobState.DONE, "finished_at": now, "err": "cancelled"}
    connection.execute(update(schema.job).where(*waiting).values(**over))
    left = (_study.backfill_id == backfill_id, _study.state == FetchState.WAITING)
    connection.execute(update(schema.backfill_study).where(*left).values(state=FetchState.CANCELLED, at=now))
    _end(connection, now, backfill_id, BackfillState.CANCELLED)
    audit.record(connection, now, What.BACKFILL_CANCELLED, archive, {"id": backfill_id}, actor=actor)
    return True


def _end_if_done(connection: Connection, now: float, held: jobs.Claim) -> None:
    """End a backfill whose last job this was; two that see each other as the last take turns at its row."""
    backfill_id = int(held.payload["backfill"])
    if not goes_on(connection, held):
        return
    left = [_job.kind == JobKind.FETCH, _job.lane == held.lane, _job.id != held.id]
    if any(connection.execute(select(exists().where(*left, _job.state == s))).scalar_one() for s in _OPEN):
        return
    mine = (_study.backfill_id == backfill_id, _study.state == FetchState.WAITING)
    lost = {"state": FetchState.FAILED, "reason": case((_study.reason != "", _study.reason), else_="its worker died")}
    connection.execute(update(schema.backfill_study).where(*mine).values(**lost, at=now))
    _end(connection, now, backfill_id, BackfillState.DONE)
    audit.record(connection, now, What.BACKFILL_DONE, held.lane, {"id": backfill_id})


def _end(connection: Connection, now: float, backfill_id: int, state: BackfillState) -> None:
    ended = {"state": state, "finished_at": now}
    connection.execute(update(schema.backfill).where(_backfill.id == backfill_id).values(**ended))
