"""An object arrives: the rows that must be committed before the sender may forget it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, case, insert, select, update

from cxrd.errors import Reason
from cxrd.store import audit, backfills, carriers, jobs, schema, studies
from cxrd.store.audit import What
from cxrd.store.schema import FINISHED, InstanceState, StudyState

UID_LENGTH = 64
"""Characters of a UID at most (PS3.5 section 9.1)."""

NAMES = ("accession", "patient_id", "study_date")
"""What a study is looked for by."""

RETURNED = {
    "state": InstanceState.REFUSED,
    "reason": str(Reason.SOP_CLASS),
    "detail": "a result of this node, come back",
}
"""What is said of our own result that an archive forwards with its study: no reason to analyse that anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What the listener knows of an object without decoding its pixels.

    Attributes
    ----------
    sha256 : str
        Hash (hex) of the bytes, which the payload store holds already.
    size : int
        Bytes.
    quiet_period_s : float
        Seconds without a new image before the study is analysed.
    association : str
        Name of the association that brought it; "" when it came without one.
    hold_s : float
        Seconds that the open association may hold the study up, from this image on.
    stat : bool
        The order is urgent; it stays so for the whole study.
    """

    sop_uid: str
    sop_class: str
    study_uid: str
    series_uid: str
    transfer_syntax: str
    sha256: str
    size: int
    source: str
    calling_ae: str
    accession: str = ""
    patient_id: str = ""
    study_date: str = ""
    stat: bool = False
    quiet_period_s: float = 0.0
    association: str = ""
    hold_s: float = 0.0


class Received(StrEnum):
    """What became of an arrival."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


def receive(connection: Connection, now: float, arrival: Arrival) -> Received:
    """Write an object down: instance, study, the debounced ``infer`` job, the audit row.

    Returns
    -------
    Received
        STORED; DUPLICATE when the same bytes are here already (nothing changes); CONFLICT when the SOP
        Instance UID is here with other bytes (kept aside, nothing is overwritten). Other bytes take the place of those
        that retention has given up, and of an image that was refused, whose first bytes are kept aside then.
    """
    known = _known(connection, arrival.sop_uid)
    if known is None or _fits(known, arrival):  # a conflict makes no study
        _hold_study(connection, now, arrival)
        known = _known(connection, arrival.sop_uid)
    if known is not None and _fits(known, arrival):
        same = known.sha256 == arrival.sha256
        if known.removed_at is not None:
            _restore(connection, now, arrival)
        elif not same:
            _correct(connection, now, arrival, known)
        return Received.DUPLICATE if same else Received.STORED
    if known is not None:
        detail = (
            "an object with this SOP Instance UID and other bytes is here already; both are kept, the first is used"
        )
        quarantine(
            connection,
            now,
            sop_uid=arrival.sop_uid,
            study_uid=arrival.study_uid,
            sha256=arrival.sha256,
            size=arrival.size,
            source=arrival.source,
            reason=Reason.UID_CONFLICT,
            detail=detail,
        )
        return Received.CONFLICT
    if _is_ours(connection, arrival.sop_uid):
        connection.execute(insert(schema.instance).values(_instance(now, arrival) | RETURNED))
    else:
        connection.execute(insert(schema.instance).values(_instance(now, arrival)))
        _work_on_study(connection, now, arrival)
    _told_stored(connection, now, arrival)
    return Received.STORED


def _told_stored(connection: Connection, now: float, arrival: Arrival) -> None:
    stored = {"study": arrival.study_uid, "sha256": arrival.sha256, "size": arrival.size, "source": arrival.source}
    audit.record(connection, now, What.INSTANCE_STORED, arrival.sop_uid, stored)


def _is_ours(connection: Connection, sop_uid: str) -> bool:
    a = schema.artefact.c
    return connection.execute(select(a.sop_uid).where(a.sop_uid == sop_uid)).first() is not None


def _work_on_study(connection: Connection, now: float, arrival: Arrival) -> None:
    """Have a study analysed that has a new image, when it is complete."""
    study = schema.study
    changed: dict[str, Any] = {"last_at": now, "state": StudyState.RECEIVED, "reason": ""}
    for name in NAMES:  # an object without them may have been the first to come
        changed[name] = case((study.c[name] == "", getattr(arrival, name)), else_=study.c[name])
    if arrival.stat:
        changed["stat"] = True
    connection.execute(update(study).where(study.c.uid == arrival.study_uid).values(**changed))
    urgent = connection.execute(select(study.c.stat).where(study.c.uid == arrival.study_uid)).scalar_one()
    jobs.debounce(
        connection,
        now,
        study_uid=arrival.study_uid,
        priority=_priority(connection, arrival.study_uid, urgent=urgent),
        due=now + (max(arrival.quiet_period_s, arrival.hold_s) if arrival.association else arrival.quiet_period_s),
    )
    if arrival.association and arrival.hold_s:
        carriers.carry(
            connection,
            now,
            arrival.association,
            arrival.study_uid,
            quiet_period_s=arrival.quiet_period_s,
            hold_s=arrival.hold_s,
        )


def _known(connection: Connection, sop_uid: str) -> Row[Any] | None:
    return connection.execute(select(schema.instance).where(schema.instance.c.sop_uid == sop_uid)).first()


def _fits(known: Row[Any], arrival: Arrival) -> bool:
    """Whether an arrival is, or may take the place of, the instance that is known.

    An archive gives a film back in another encoding than it got it; and whoever corrects a header, as a refusal asks,
    seldom gives the image another UID.
    """
    corrected = known.state == InstanceState.REFUSED and known.detail != RETURNED["detail"]
    open_to_others = known.removed_at is not None or corrected
    return bool(known.sha256 == arrival.sha256 or (open_to_others and known.study_uid == arrival.study_uid))


def _correct(connection: Connection, now: float, arrival: Arrival, known: Row[Any]) -> None:
    """Take an image that was refused as it comes now; how it was before is kept aside."""
    quarantine(
        connection,
        now,
        sop_uid=known.sop_uid,
        study_uid=known.study_uid,
        sha256=known.sha256,
        size=known.size,
        source=known.source,
        reason=known.reason,
        detail=f"{known.detail}; it came again with other bytes, which are judged in its place",
    )
    mine = schema.instance.c.sop_uid == arrival.sop_uid
    connection.execute(update(schema.instance).where(mine).values(_instance(now, arrival) | {"rev": known.rev + 1}))
    _work_on_study(connection, now, arrival)
    _told_stored(connection, now, arrival)


def _priority(connection: Connection, study_uid: str, *, urgent: bool) -> int:
    """Urgent before routine, and both before what we had an archive send."""
    if urgent:
        return jobs.STAT_PRIORITY
    return jobs.FETCH_PRIORITY if backfills.is_fetched(connection, study_uid) else jobs.ROUTINE_PRIORITY


def _restore(connection: Connection, now: float, arrival: Arrival) -> None:
    """A film that retention removed is here again; a study that could not do without it is analysed."""
    i, s = schema.instance.c, schema.study.c
    came = {name: getattr(arrival, name) for name in ("sha256", "size", "transfer_syntax", "source", "calling_ae")}
    connection.execute(update(schema.instance).where(i.sop_uid == arrival.sop_uid).values(**came, removed_at=None))
    connection.execute(update(schema.study).where(s.uid == arrival.study_uid).values(last_at=now))
    told = {"study": arrival.study_uid, "sha256": arrival.sha256, "size": arrival.size, "source": arrival.source}
    audit.record(connection, now, What.INSTANCE_RESTORED, arrival.sop_uid, told)
    study = connection.execute(select(s.state, s.stat).where(s.uid == arrival.study_uid)).one()
    if study.state not in FINISHED:
        priority = _priority(connection, arrival.study_uid, urgent=study.stat)
        due = now + arrival.quiet_period_s
        jobs.debounce(connection, now, study_uid=arrival.study_uid, priority=priority, due=due)


def _hold_study(connection: Connection, now: float, arrival: Arrival) -> None:
    """Make the study's row, or lock it: two listeners with one study take turns from here on."""
    row = {
        "uid": arrival.study_uid,
        "first_at": now,
        "last_at": now,
        "stat": arrival.stat,
        "state": StudyState.RECEIVED,
        "accession": arrival.accession,
        "patient_id": arrival.patient_id,
        "study_date": arrival.study_date,
        "source": arrival.source,
        "reason": "",
    }
    connection.execute(
        jobs.dialect_insert(connection, schema.study).values(**row).on_conflict_do_nothing(index_elements=["uid"])
    )
    studies.hold(connection, arrival.study_uid)


def _instance(now: float, arrival: Arrival) -> dict[str, object]:
    kept = {c.name for c in schema.instance.columns}
    row = {name: value for name, value in asdict(arrival).items() if name in kept}
    return row | {"rev": 1, "received_at": now, "state": InstanceState.RECEIVED, "reason": "", "detail": ""}


def quarantine(  # noqa: PLR0913 - each is a column
    connection: Connection,
    now: float,
    *,
    sop_uid: str,
    study_uid: str,
    sha256: str,
    size: int,
    source: str,
    reason: str,
    detail: str,
) -> None:
    """Keep an object aside with its reason; the same object again adds no row."""
    q, sop_uid = schema.quarantine.c, sop_uid[:UID_LENGTH]  # what is longer is none, and is kept aside for that
    same = select(q.id).where(q.sop_uid == sop_uid, q.sha256 == sha256, q.reason == str(reason))
    if connection.execute(same.limit(1)).first():
        return
    study_uid = study_uid[:UID_LENGTH]
    row = {"sop_uid": sop_uid, "study_uid": study_uid, "sha256": sha256, "size": size, "source": source}
    connection.execute(insert(schema.quarantine).values(**row, at=now, reason=str(reason), detail=detail))
    audit.record(connection, now, What.INSTANCE_QUARANTINED, sop_uid or sha256, {**row, "reason": str(reason)})
