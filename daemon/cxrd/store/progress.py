"""How far each backfill has come, and when it may be done; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from cxrd.store import schema
from cxrd.store.lanes import FAILURES_TO_CLOSE
from cxrd.store.schema import BackfillState, FetchState, JobKind, JobState

LATELY_S = 3600.0

_backfill, _study, _job = schema.backfill.c, schema.backfill_study.c, schema.job.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One line of ``cxrd backfill ls``. Times are epoch seconds.

    Attributes
    ----------
    waiting, complete, skipped, failed : int
        Studies found so far; skipped ones have no film that may show a chest.
    images : int
        Of them, here.
    slices : tuple of mapping
        Parts of the range that are still to be searched.
    closed_until : float or None
        The archive does not answer and is left alone until then.
    why : str
        What the archive last said to what is tried again.
    """

    id: int
    archive: str
    first: str
    last: str
    state: str
    paused: bool
    started_at: float
    finished_at: float | None
    waiting: int
    complete: int
    skipped: int
    failed: int
    images: int
    lately: int
    slices: tuple[dict[str, Any], ...]
    closed_until: float | None
    why: str

    @property
    def done(self) -> int:
        """Studies that wait no more."""
        return self.complete + self.skipped + self.failed

    def eta_s(self, now: float, *, days: int, days_left: int) -> float | None:
        """Seconds that the rest may take, by the pace of the last hour and the studies of a day so far; None unknown.

        Parameters
        ----------
        days, days_left : int
            Days of the range, and those in slices that are still to be searched.
        """
        pace = self.lately / min(LATELY_S, max(1.0, now - self.started_at))
        if self.state != BackfillState.RUNNING or not pace or days_left >= days:
            return None
        found = self.done + self.waiting
        return (self.waiting + found / (days - days_left) * days_left) / pace


def of(connection: Connection, now: float, *, limit: int = 50) -> list[Progress]:
    """Backfills, the newest first."""
    rows = connection.execute(select(schema.backfill).order_by(_backfill.id.desc()).limit(limit)).all()
    return [_progress(connection, now, row) for row in rows]


def studies(connection: Connection, backfill_id: int, state: str | None = None) -> list[dict[str, Any]]:
    """Studies of a backfill and what became of each, in one state where it is named."""
    query = select(schema.backfill_study).where(_study.backfill_id == backfill_id)
    if state:
        query = query.where(_study.state == state)
    rows = connection.execute(query.order_by(_study.study_date.desc(), _study.study_uid))
    return [dict(row) for row in rows.mappings()]


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Studies of every archive's newest backfill, by archive and state."""
    newest = select(func.max(_backfill.id)).group_by(_backfill.archive)
    query = (
        select(_backfill.archive, _study.state, func.count())
        .join(schema.backfill_study, _study.backfill_id == _backfill.id)
        .where(_backfill.id.in_(newest))
        .group_by(_backfill.archive, _study.state)
    )
    return {(str(archive), str(state)): int(n) for archive, state, n in connection.execute(query)}


def _progress(connection: Connection, now: float, row: Any) -> Progress:
    mine = _study.backfill_id == row.id
    by = select(_study.state, func.count(), func.sum(_study.stored)).where(mine).group_by(_study.state)
    found = {state: (int(n), int(images or 0)) for state, n, images in connection.execute(by)}
    ended = _study.state.in_((FetchState.COMPLETE, FetchState.SKIPPED, FetchState.FAILED))
    lately = select(func.count()).where(mine, ended, _study.at > now - LATELY_S)
    d = schema.dest.c
    lane = connection.execute(select(d.paused, d.fails, d.open_until).where(d.name == row.archive)).first()
    jobs = _jobs(connection, row) if row.state == BackfillState.RUNNING else []
    return Progress(
        id=row.id, archive=row.archive, first=row.first_date, last=row.last_date, state=row.state,
        paused=bool(lane and lane.paused and row.state == BackfillState.RUNNING),
        started_at=row.started_at, finished_at=row.finished_at,
        **{str(s): found.get(s, (0, 0))[0] for s in FetchState if s != FetchState.CANCELLED},
        images=sum(images for _, images in found.values()),
        lately=int(connection.execute(lately).scalar_one()),
        slices=tuple(job.payload["slice"] for job in jobs if "slice" in job.payload),
        closed_until=lane.open_until if lane and lane.fails >= FAILURES_TO_CLOSE else None,
        why=next((job.err for job in jobs if job.err), ""),
    )  # fmt: skip


def _jobs(connection: Connection, row: Any) -> list[Any]:
    """Open jobs of a backfill that are slices, or were tried and failed."""
    open_ = _job.state.in_((JobState.READY, JobState.DELAYED, JobState.LEASED, JobState.DEAD))
    mine = and_(_job.kind == JobKind.FETCH, _job.lane == row.archive, open_)
    told = (_job.study_uid == "") | (_job.err != "")
    query = select(_job.payload, _job.err).where(mine, told).order_by(_job.finished_at.desc(), _job.id.desc())
    return list(connection.execute(query).all())
