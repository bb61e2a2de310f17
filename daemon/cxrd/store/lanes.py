"""Destinations as lanes of the queue: how many senders one may have, and when it is left alone.

The breaker stands in the database, so that every sender on every machine sees it: five failed associations in
a row close a destination for a growing while, and the first sender after that knocks with a C-ECHO. A closed
lane never holds up another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, case, func, select, update

from cxrd.store import audit, jobs, schema
from cxrd.store.audit import What
from cxrd.store.jobs import Claim
from cxrd.store.retry import backoff
from cxrd.store.schema import JobKind, JobState

FAILURES_TO_CLOSE = 5
CLOSED_BASE_S, CLOSED_CAP_S = 15.0, 600.0
UNSEEN_S = 3600.0
"""A destination that no role has said for so many seconds that it sends to, and that a delivery has waited for as long,
is configured nowhere."""
BURST = 5
"""Tokens that a lane with a rate keeps at most."""

_dest, _job = schema.dest.c, schema.job.c


def register(connection: Connection, names: list[str], kind: JobKind = JobKind.DELIVER) -> None:
    """Make the rows of configured destinations, or archives."""
    for name in names:
        row = {"name": name, "kind": kind, "fails": 0, "open_until": 0.0, "paused": False, "next_at": 0.0}
        added = jobs.dialect_insert(connection, schema.dest).values(**row)
        connection.execute(added.on_conflict_do_nothing(index_elements=["name"]))


def serve(connection: Connection, now: float, names: Collection[str]) -> None:
    """Note that a role sends to these destinations, for those whose configuration does not name them yet."""
    connection.execute(update(schema.dest).where(_dest.name.in_(names)).values(seen_at=now))


def claim(
    connection: Connection,
    now: float,
    caps: Mapping[str, int],
    *,
    owner: str,
    lease_s: float,
    kind: JobKind = JobKind.DELIVER,
) -> list[Claim]:
    """Lease the most urgent job among lanes that are open and have a free sender.

    Parameters
    ----------
    caps : mapping of str to int
        Senders at once, by destination.
    kind : JobKind
        Only jobs of this kind; all kinds of a lane share its senders.

    Returns
    -------
    list of Claim
        One or none.
    """
    first = [(*found, lane) for lane in caps if (found := _first_due(connection, now, kind, lane))]
    for *_, lane in sorted(first):
        if _free(connection, now, lane, caps[lane]):
            return jobs.claim(connection, now, kind, owner=owner, limit=1, lease_s=lease_s, lane=lane)
    return []


def _first_due(connection: Connection, now: float, kind: JobKind, lane: str) -> tuple[int, float] | None:
    """Priority and due time of a lane's next job."""
    ready = (_job.kind == kind, _job.lane == lane, _job.state == JobState.READY, _job.due <= now)
    row = connection.execute(
        select(_job.priority, _job.due).where(*ready).order_by(_job.priority, _job.due, _job.id).limit(1)
    ).first()
    return (row.priority, row.due) if row else None


def _free(connection: Connection, now: float, lane: str, cap: int) -> bool:
    """Lock a lane's row and look whether one more sender may start; False too while another one decides."""
    row = connection.execute(select(schema.dest).where(_dest.name == lane).with_for_update(skip_locked=True)).first()
    if row is None or row.paused or row.open_until > now or row.next_at > now:
        return False
    # counted under the lock: two senders that both saw a free place take turns here
    return _busy(connection, lane) < (1 if row.fails >= FAILURES_TO_CLOSE else cap)


def spend(connection: Connection, now: float, lane: str, interval_s: float) -> None:
    """Take a token of a lane that may have one every ``interval_s`` seconds, and keeps a few while it rests."""
    after = case((_dest.next_at > now - BURST * interval_s, _dest.next_at), else_=now - BURST * interval_s)
    connection.execute(update(schema.dest).where(_dest.name == lane).values(next_at=after + interval_s))


def must_knock(connection: Connection, lane: str) -> bool:
    """Whether a lane was closed and has not answered since: ask it by C-ECHO before anything is sent."""
    fails = connection.execute(select(_dest.fails).where(_dest.name == lane)).scalar()
    return fails is not None and fails >= FAILURES_TO_CLOSE


def _busy(connection: Connection, lane: str) -> int:
    leased = select(func.count()).where(_job.state == JobState.LEASED, _job.lane == lane)
    return int(connection.execute(leased).scalar_one())


def failed(connection: Connection, now: float, lane: str, *, jitter: float) -> float:
    """Note an association that failed; epoch seconds until which the lane is closed, 0 while it stays open."""
    connection.execute(update(schema.dest).where(_dest.name == lane).values(fails=_dest.fails + 1))
    fails = connection.execute(select(_dest.fails).where(_dest.name == lane)).scalar_one()
    beyond = fails - FAILURES_TO_CLOSE
    if beyond < 0:
        return 0.0
    until = now + backoff(beyond, base_s=CLOSED_BASE_S, cap_s=CLOSED_CAP_S, jitter=0.5 + jitter / 2)
    connection.execute(update(schema.dest).where(_dest.name == lane).values(open_until=until))
    if not beyond:
        audit.record(connection, now, What.DESTINATION_CLOSED, lane, {"fails": fails})
    return until


def answered(connection: Connection, now: float, lane: str) -> None:
    """Note that a destination took an association: the lane is open."""
    fails = connection.execute(select(_dest.fails).where(_dest.name == lane)).scalar()
    if fails:
        connection.execute(update(schema.dest).where(_dest.name == lane).values(fails=0, open_until=0.0))
    if fails and fails >= FAILURES_TO_CLOSE:
        audit.record(connection, now, What.DESTINATION_OPEN, lane, {})


def pause(connection: Connection, now: float, lane: str, *, paused: bool, actor: str) -> bool:
    """Stop or allow sending to a destination; False when there is none of that name."""
    changed = connection.execute(update(schema.dest).where(_dest.name == lane).values(paused=paused)).rowcount
    if changed:
        what = What.DESTINATION_PAUSED if paused else What.DESTINATION_RESUMED
        audit.record(connection, now, what, lane, {}, actor=actor)
    return bool(changed)


def clamp(connection: Connection, now: float) -> int:
    """Open lanes that only a clock that was set back keeps closed; how many."""
    latest = now + CLOSED_CAP_S
    late = (_dest.open_until > latest) | (_dest.next_at > latest) | (_dest.seen_at > latest)
    times = {"open_until": now, "next_at": now, "seen_at": now}
    return connection.execute(update(schema.dest).where(late).values(times)).rowcount


def unknown(lane: str) -> str:
    """What is said of a delivery to a destination that nobody configures any more."""
    return f"destination {lane} is not configured any more; configure it and requeue the study, or cxrd queue dismiss"


def bury_strays(connection: Connection, now: float, names: Collection[str]) -> int:
    """Bury deliveries to destinations that nobody configures any more, with what to do about it; how many.

    Parameters
    ----------
    names : collection of str
        Destinations of our own configuration. Another host's may name more: one that is served there is no stray,
        nor is one of late, for which the role that builds has heard of a new destination first.
    """
    long_ago = now - UNSEEN_S
    served = select(_dest.name).where(_dest.seen_at > long_ago)
    waiting = (_job.kind == JobKind.DELIVER, _job.state == JobState.READY, _job.due < long_ago)
    stray = (*waiting, _job.lane.not_in(names), _job.lane.not_in(served))
    rows = connection.execute(select(schema.job).where(*stray).with_for_update(skip_locked=True)).all()
    for row in rows:
        jobs.bury_unclaimed(connection, now, row, error=unknown(row.lane))
    return len(rows)
