"""The audit trail: appended in the transaction it tells of, chained by hash afterwards.

An inline chain would make every commit wait for one row, so ``seal`` chains the rows that have no seal yet;
it is one of the chores of the ``tick`` role (engine rule 10).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update

from cxrd.store import schema

ACTOR = "cxrd"
CONFIG = "config"  # the subject of what is told of the configuration


def actor_on(host: str) -> str:
    """Who acts when one host of several does something of its own."""
    return f"{ACTOR}@{host}"


GENESIS = "0" * 64
SEAL_ROWS = 5000


class What(StrEnum):
    """Everything that the audit trail can tell."""

    INSTANCE_STORED = "instance_stored"
    INSTANCE_QUARANTINED = "instance_quarantined"
    INSTANCE_REFUSED = "instance_refused"
    INSTANCE_CORRECTED = "instance_corrected"
    INSTANCE_RESTORED = "instance_restored"
    STUDY_ANALYSED = "study_analysed"
    STUDY_REFUSED = "study_refused"
    OBJECTS_BUILT = "objects_built"
    OBJECT_DELIVERED = "object_delivered"
    OBJECT_REJECTED = "object_rejected"
    OBJECT_REMEMBERED = "object_remembered"
    OBJECT_MISSED = "object_missed"
    COMMITMENT_ASKED = "commitment_asked"
    OBJECT_COMMITTED = "object_committed"
    OBJECT_NOT_COMMITTED = "object_not_committed"
    STUDY_DELIVERED = "study_delivered"
    JOB_REAPED = "job_reaped"
    JOB_DEAD = "job_dead"
    JOB_REQUEUED = "job_requeued"
    JOB_CANCELLED = "job_cancelled"
    JOB_DISMISSED = "job_dismissed"
    DESTINATION_CLOSED = "destination_closed"
    DESTINATION_OPEN = "destination_open"
    DESTINATION_PAUSED = "destination_paused"
    DESTINATION_RESUMED = "destination_resumed"
    BACKFILL_STARTED = "backfill_started"
    BACKFILL_SEARCHED = "backfill_searched"
    BACKFILL_CANCELLED = "backfill_cancelled"
    BACKFILL_DONE = "backfill_done"
    STUDY_FETCHED = "study_fetched"
    STUDY_NOT_FETCHED = "study_not_fetched"
    CONFIG_LOADED = "config_loaded"
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_REFUSED = "config_refused"
    MODEL_ADOPTED = "model_adopted"
    MODEL_ADDED = "model_added"
    MODEL_SHADOWED = "model_shadowed"
    MODEL_UNSHADOWED = "model_unshadowed"
    MODEL_PROMOTED = "model_promoted"
    MODEL_ROLLED_BACK = "model_rolled_back"
    MODEL_RETIRED = "model_retired"
    FILMS_REMOVED = "films_removed"
    OBJECTS_REMOVED = "objects_removed"
    JOBS_REMOVED = "jobs_removed"
    TRAIL_EXPORTED = "trail_exported"


def record(
    connection: Connection, now: float, what: What, subject: str, detail: Mapping[str, Any], *, actor: str = ACTOR
) -> None:
    """Append a row.

    Parameters
    ----------
    what : What
        What happened.
    subject : str
        UID or job id that it happened to.
    detail : Mapping
        JSON; UIDs, codes and numbers, nothing about a patient.
    """
    row = {"at": now, "actor": actor, "what": str(what), "subject": subject, "detail": dict(detail)}
    connection.execute(insert(schema.audit).values(**row, digest=_digest(*row.values())))


def record_once(connection: Connection, now: float, what: What, subject: str, detail: Mapping[str, Any]) -> None:
    """Append a row unless the trail has told exactly this already."""
    a = schema.audit.c
    told = connection.execute(select(a.detail).where(a.subject == subject, a.what == what)).scalars()
    if dict(detail) not in told:
        record(connection, now, what, subject, detail)


def seal(connection: Connection, now: float) -> int:
    """Chain the rows without a seal to the last seal; how many."""
    if connection.dialect.name == "postgresql":  # two sealers would fork the chain; SQLite has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('cxrd audit seal'))"))
    a, s = schema.audit.c, schema.seal.c
    rows = connection.execute(select(schema.audit).where(a.seal_id.is_(None)).order_by(a.id).limit(SEAL_ROWS)).all()
    if not rows:
        return 0
    previous = connection.execute(select(s.root_hash).order_by(s.id.desc()).limit(1)).scalar() or GENESIS
    values = {"prev_hash": previous, "root_hash": _root(previous, rows), "at": now}
    made = connection.execute(insert(schema.seal).values(**values).returning(s.id)).scalar_one()
    connection.execute(update(schema.audit).where(a.id.in_([row.id for row in rows])).values(seal_id=made))
    return len(rows)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found.

    Attributes
    ----------
    faults : tuple of str
        One sentence each, the first broken row first; none when the chain holds.
    seals, rows : int
        How many hold, or should.
    unsealed : int
        Rows that no seal covers yet.
    head : str
        Root hash of the newest seal: noted elsewhere, it shows later that nothing was cut off.
    """

    faults: tuple[str, ...]
    seals: int
    rows: int
    unsealed: int
    head: str


def verify(
    connection: Connection, *, head: str = "", advance: Callable[[int], object] = lambda _rows: None
) -> Verified:
    """Recompute the chain.

    Parameters
    ----------
    head : str
        Root hash that was noted at an earlier verification; "" asks for none.
    advance : callable
        Told how many more rows were looked at.
    """
    a, s = schema.audit.c, schema.seal.c
    faults: list[str] = []
    previous, seals, seen, found = GENESIS, 0, 0, head in ("", GENESIS)
    for sealed in connection.execute(select(schema.seal).order_by(s.id)).all():
        rows = connection.execute(select(schema.audit).where(a.seal_id == sealed.id).order_by(a.id)).all()
        if sealed.prev_hash != previous:
            faults.append(f"seal {sealed.id} does not follow the seal before it")
        if sealed.root_hash != _root(sealed.prev_hash, rows):
            faults += list(_changed(rows)) or [
                f"{_span(rows)} under seal {sealed.id}: one was changed, added or removed"
            ]
        previous, seals, seen, found = sealed.root_hash, seals + 1, seen + len(rows), found or sealed.root_hash == head
        advance(len(rows))
    if not found:
        faults.append("no seal has the hash that was noted: the trail was cut off or written anew")
    loose = (a.seal_id.is_not(None), a.seal_id.not_in(select(s.id)))
    orphans = connection.execute(select(func.count(), func.min(a.id)).where(*loose)).one()
    if orphans[0]:
        faults.append(f"{orphans[0]} rows from row {orphans[1]} on were sealed, and their seal is gone")
    unsealed = connection.execute(select(schema.audit).where(a.seal_id.is_(None)).order_by(a.id)).all()
    return Verified((*faults, *_changed(unsealed)), seals, seen, len(unsealed), previous)


def _changed(rows: Sequence[Row[Any]]) -> Iterator[str]:
    for row in rows:
        if row.digest is not None and row.digest != _digest(row.at, row.actor, row.what, row.subject, row.detail):
            yield f"row {row.id} ({row.what} of {row.subject}) is not as it was written"


def _span(rows: Sequence[Row[Any]]) -> str:
    return f"rows {rows[0].id} to {rows[-1].id}" if rows else "all rows"


def between(connection: Connection, start: float, end: float) -> Iterator[dict[str, Any]]:
    """Rows of a period (epoch seconds, the end left out), oldest first, a thousand in memory at a time."""
    a = schema.audit.c
    query = select(schema.audit).where(a.at >= start, a.at < end).order_by(a.id)
    for row in connection.execution_options(yield_per=1000).execute(query).mappings():
        yield dict(row)


def _digest(*told: Any) -> str:
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _root(previous: str, rows: Sequence[Row[Any]]) -> str:
    chain = sha256(previous.encode())
    for row in rows:
        chain.update(
            json.dumps([row.id, row.at, row.actor, row.what, row.subject, row.detail], sort_keys=True).encode()
        )
    return chain.hexdigest()
