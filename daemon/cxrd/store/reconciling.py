"""The rows on one side of a reconciliation, and the corrections that the other side asks for (engine.md §6)."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, func, select, union, union_all

from cxrd.store import audit, redelivery, results, schema
from cxrd.store.audit import What
from cxrd.store.redelivery import Sent
from cxrd.store.remnants import HERE

_SUCCESS = 0x0000


def newest_at(connection: Connection) -> float | None:
    """When the last image that the database knows arrived (epoch seconds); None when it knows none."""
    return connection.execute(select(func.max(schema.instance.c.received_at))).scalar()


def deliveries(connection: Connection, dest: str, *, since: float) -> dict[str, list[Sent]]:
    """Objects, by study, that a destination took since an epoch second, and all that it has not taken yet."""
    a, d = schema.artefact.c, schema.delivery.c
    rows = connection.execute(
        select(a.study_uid, a.sop_uid, a.inference_id, d.stored_at)
        .join(schema.delivery, d.artefact_uid == a.sop_uid)
        .where(d.dest == dest, d.stored_at.is_(None) | (d.stored_at >= since), a.removed_at.is_(None))
        .order_by(a.study_uid, a.sop_uid)
    )
    found: dict[str, list[Sent]] = {}
    for study, uid, inference, stored in rows:
        found.setdefault(study, []).append(Sent(study, uid, inference, dest, stored is not None))
    return found


def known_objects(connection: Connection, study_uid: str, dest: str) -> set[str]:
    """SOP Instance UIDs of a study's objects that have a row, or are remembered at a destination."""
    a, r = schema.artefact.c, schema.remnant.c
    built = select(a.sop_uid).where(a.study_uid == study_uid)
    remembered = select(r.sop_uid).where(r.study_uid == study_uid, r.dest == dest)
    return set(connection.execute(union(built, remembered)).scalars())


def studies_of_remnants(connection: Connection) -> set[str]:
    """Studies that have an object in the payload store which no row names."""
    r, a = schema.remnant.c, schema.artefact.c
    nameless = select(r.study_uid).where(r.dest == HERE, r.sop_uid.not_in(select(a.sop_uid)))
    return set(connection.execute(nameless).scalars())


def payloads(connection: Connection) -> Iterator[tuple[str, str, str]]:
    """Study UID, SOP Instance UID and sha256 of every object that has a row and so must have bytes."""
    q, kept = schema.quarantine, (schema.instance, schema.artefact)
    named = union_all(
        select(q.c.study_uid, q.c.sop_uid, q.c.sha256),
        *(select(t.c.study_uid, t.c.sop_uid, t.c.sha256).where(t.c.removed_at.is_(None)) for t in kept),
    )
    for row in connection.execution_options(yield_per=1000).execute(named):
        yield row.study_uid, row.sop_uid, row.sha256


def mark_there(connection: Connection, now: float, sent: Sent) -> None:
    """Note that a destination holds what the database thought it had not taken; its job then finds nothing to do."""
    results.mark_attempt(connection, now, sent.sop_uid, sent.dest)
    results.mark_stored(connection, now, sent.sop_uid, sent.dest, _SUCCESS)


def send_again(connection: Connection, now: float, sent: Sent) -> None:
    """Open the delivery of an object that its destination took once and does not hold any more."""
    error = "the destination does not hold it any more"
    redelivery.open_again(connection, now, sent, error=error, due=now)
    audit.record(connection, now, What.OBJECT_MISSED, sent.sop_uid, {"dest": sent.dest})
