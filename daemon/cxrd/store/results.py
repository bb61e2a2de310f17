"""From an analysis to objects at every destination: the rows of each step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, Row, case, exists, func, insert, select, update

from cxrd.errors import Reason
from cxrd.findings import ArtefactKind, StudyAnalysis, jsonable
from cxrd.store import audit, jobs, remnants, schema, studies, turns
from cxrd.store.audit import What
from cxrd.store.outstanding import delivery_key, is_waited_for
from cxrd.store.schema import InstanceState, JobKind, JobState, StudyState

_SUCCESS = 0x0000
_NOBODY_ASKS = "no destination asks for its results"
_NOTHING_MADE = "its result holds nothing of the kinds that destinations ask for"
_BEFORE_DELIVERY = frozenset({JobKind.INFER, JobKind.BUILD})

Mark = tuple[InstanceState, str, str]
"""State, coded reason and detail of one image."""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An image of a study and where its bytes are."""

    sop_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A committed analysis and its time (epoch seconds)."""

    analysis: StudyAnalysis
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtefact:
    """A finished object whose bytes the payload store holds."""

    kind: ArtefactKind
    sop_class: str
    sop_uid: str
    sha256: str
    size: int
    supersedes: str | None = None


class Previous(NamedTuple):
    """An earlier report of a study."""

    kind: ArtefactKind
    sop_class: str
    sop_uid: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An object that a destination has not taken.

    Attributes
    ----------
    attempted : bool
        An earlier attempt got no answer, so the object may be there.
    """

    sop_uid: str
    kind: str
    sop_class: str
    sha256: str
    attempted: bool


def instances_of(connection: Connection, study_uid: str) -> list[InstanceRow]:
    """Images of a study, in the order of arrival."""
    i = schema.instance.c
    rows = connection.execute(
        select(i.sop_uid, i.sha256).where(i.study_uid == study_uid).order_by(i.received_at, i.sop_uid)
    )
    return [InstanceRow(*row) for row in rows]


def mark_instances(connection: Connection, now: float, marks: Mapping[str, Mark]) -> None:
    """Note what became of each image; a refusal is audited once, and again when its words change."""
    i = schema.instance.c
    for sop_uid, (state, reason, detail) in marks.items():
        changed = connection.execute(
            update(schema.instance)
            .where(i.sop_uid == sop_uid, (i.state != state) | (i.reason != reason) | (i.detail != detail))
            .values(state=state, reason=reason, detail=detail)
        ).rowcount
        if changed and state is InstanceState.REFUSED:
            audit.record(connection, now, What.INSTANCE_REFUSED, sop_uid, {"reason": reason, "detail": detail})


def record_inference(connection: Connection, now: float, analysis: StudyAnalysis) -> int | None:
    """Commit an analysis, and what was corrected on its films.

    Returns
    -------
    int or None
        Its id; None when the newest result has the same films, models and configuration.
    """
    taken = turns.taking(connection, analysis)
    if taken is None:
        settle(connection, now, analysis.study_uid)
        return None
    detail = dict(zip(("input_digest", "model_digest", "config_digest"), taken.key, strict=True))
    row = {"study_uid": taken.study_uid, **detail, "output": jsonable(taken), "at": now}
    made = connection.execute(insert(schema.inference).values(**row).returning(schema.inference.c.id)).scalar_one()
    if shown := [film for film in analysis.films if film.preview]:
        previews = [{"inference_id": made, "sop_uid": f.film.sop_uid, "sha256": f.preview} for f in shown]
        connection.execute(insert(schema.preview), previews)
    if analysis.refusal:
        return int(made)
    _study(connection, analysis.study_uid, StudyState.ANALYSED)
    audit.record(connection, now, What.STUDY_ANALYSED, analysis.study_uid, {**detail, "films": len(analysis.films)})
    for film in (f.film for f in analysis.films if f.film.inverted):
        what = {"reason": str(Reason.INVERTED), "detail": "shown and judged the other way round", "inference": made}
        audit.record(connection, now, What.INSTANCE_CORRECTED, film.sop_uid, what)
    return int(made)


def refuse_study(connection: Connection, now: float, study_uid: str, reason: Reason, detail: str) -> bool:
    """No image of the study can be analysed; whether that is its first result, since earlier ones stand."""
    if _newest(connection, study_uid) is not None:
        settle(connection, now, study_uid)
        return False
    _study(connection, study_uid, StudyState.REFUSED, f"{reason}: {detail}")
    audit.record(connection, now, What.STUDY_REFUSED, study_uid, {"reason": str(reason), "detail": detail})
    return True


def inference(connection: Connection, inference_id: int) -> Recorded:
    """An analysis by its id."""
    i = schema.inference.c
    row = connection.execute(select(i.output, i.at).where(i.id == inference_id)).one()
    return Recorded(StudyAnalysis.model_validate(row.output), row.at)


def previous_report(connection: Connection, study_uid: str, kind: ArtefactKind, *, before: int) -> Previous | None:
    """The newest report of an earlier analysis, which a new one supersedes: of the same ``kind`` where there is one."""
    a = schema.artefact.c
    reports = [str(k) for k in ArtefactKind if k.is_report]
    row = connection.execute(
        select(a.kind, a.sop_class, a.sop_uid)
        .where(a.study_uid == study_uid, a.kind.in_(reports), a.inference_id < before)
        .order_by(a.inference_id.desc(), case((a.kind == kind, 0), else_=1), a.kind)
        .limit(1)
    ).first()
    return None if row is None else Previous(ArtefactKind(row.kind), row.sop_class, row.sop_uid)


def built_before(connection: Connection, study_uid: str, *, before: int) -> dict[ArtefactKind, int]:
    """How many objects of each kind the earlier analyses of a study have."""
    a = schema.artefact.c
    mine = (a.study_uid == study_uid, a.inference_id < before)
    counted = connection.execute(select(a.kind, func.count()).where(*mine).group_by(a.kind))
    return {ArtefactKind(kind): count for kind, count in counted}


def record_artefacts(
    connection: Connection,
    now: float,
    inference_id: int,
    artefacts: Sequence[NewArtefact],
    sends: Mapping[str, Sequence[ArtefactKind]],
    *,
    priority: int,
) -> None:
    """Commit finished objects, and one job for each destination that gets any.

    An object that was built before a restored database forgot it keeps the bytes it had, and is not sent to a
    destination that holds it.

    Parameters
    ----------
    sends : Mapping
        Destination name to the kinds it gets.
    """
    artefacts = [_as_built_before(connection, made) for made in artefacts]
    i = schema.inference.c
    study_uid = connection.execute(select(i.study_uid).where(i.id == inference_id)).scalar_one()
    for made in artefacts:
        row = {name: getattr(made, name) for name in NewArtefact.__slots__}
        fixed = {"study_uid": study_uid, "inference_id": inference_id, "built_at": now}
        connection.execute(insert(schema.artefact).values(**row, **fixed))
    for dest, kinds in sends.items():
        theirs = [made for made in artefacts if made.kind in kinds]
        for made in theirs:
            connection.execute(insert(schema.delivery).values(artefact_uid=made.sop_uid, dest=dest, error=""))
            if dest in remnants.holders(connection, made.sop_uid):
                mark_stored(connection, now, made.sop_uid, dest, _SUCCESS)
        if theirs:
            enqueue_delivery(connection, now, inference_id, dest, study_uid, priority)
    audit.record(connection, now, What.OBJECTS_BUILT, study_uid, {"objects": [a.sop_uid for a in artefacts]})
    settle(connection, now, study_uid)


def _as_built_before(connection: Connection, made: NewArtefact) -> NewArtefact:
    before = remnants.bytes_of(connection, made.sop_uid)
    return made if before is None else replace(made, sha256=before[0], size=before[1])


def enqueue_delivery(  # noqa: PLR0913 - each is a column
    connection: Connection,
    now: float,
    inference_id: int,
    dest: str,
    study_uid: str,
    priority: int,
    *,
    due: float | None = None,
) -> None:
    """Have an analysis's objects brought to a destination."""
    jobs.enqueue(
        connection,
        now,
        JobKind.DELIVER,
        dedupe=delivery_key(inference_id, dest),
        study_uid=study_uid,
        priority=priority,
        payload={"inference_id": inference_id, "dest": dest},
        lane=dest,
        due=due,
    )


def undelivered(connection: Connection, inference_id: int, dest: str) -> list[Undelivered]:
    """Objects of an analysis that a destination has not taken, reports last: by name, they stand after their images."""
    a, d = schema.artefact.c, schema.delivery.c
    rows = connection.execute(
        select(a.sop_uid, a.kind, a.sop_class, a.sha256, d.first_sent_at.is_not(None) & d.status_code.is_(None))
        .join(schema.delivery, d.artefact_uid == a.sop_uid)
        .where(a.inference_id == inference_id, d.dest == dest, d.stored_at.is_(None))
        .order_by(a.kind, a.sop_uid)
    )
    return [Undelivered(uid, kind, sop_class, sha256, bool(open_)) for uid, kind, sop_class, sha256, open_ in rows]


def mark_attempt(connection: Connection, now: float, artefact_uid: str, dest: str) -> None:
    """Note, before sending, that the object may reach the destination from now on: there is no answer yet."""
    d = schema.delivery.c
    mine = (d.artefact_uid == artefact_uid) & (d.dest == dest)
    first = func.coalesce(d.first_sent_at, now)
    connection.execute(update(schema.delivery).where(mine).values(first_sent_at=first, status_code=None))


def mark_stored(connection: Connection, now: float, artefact_uid: str, dest: str, status: int) -> None:
    """Note that the destination took the object (DIMSE status)."""
    _delivery(connection, artefact_uid, dest, status_code=status, stored_at=now, error="")
    audit.record(connection, now, What.OBJECT_DELIVERED, artefact_uid, {"dest": dest, "status": status})


def mark_failed(  # noqa: PLR0913 - each is a column
    connection: Connection,
    now: float,
    artefact_uid: str,
    dest: str,
    status: int | None,
    error: str,
    *,
    attempted: bool = False,
) -> None:
    """Note that the destination did not take the object, and why; audited when the answer is new.

    ``attempted`` says that an attempt before this one had no answer: whatever this one's was, the object may be there.
    """
    d = schema.delivery.c
    before = connection.execute(select(d.error).where(d.artefact_uid == artefact_uid, d.dest == dest)).scalar_one()
    _delivery(connection, artefact_uid, dest, status_code=None if attempted else status, error=error)
    if before != error:
        detail = {"dest": dest, "status": status, "error": error}
        audit.record(connection, now, What.OBJECT_REJECTED, artefact_uid, detail)


def settle(connection: Connection, now: float, study_uid: str) -> bool:
    """Set a study's state by what its newest analysis has reached; whether every delivery is stored.

    A study that waits for a person stays failed, whatever else of it goes on. One of which a person has dismissed
    something is dismissed when the rest is done, never delivered. One whose results nobody asks for, or of which
    nothing that is asked for could be made, is at its end, and says why. One that was refused stays so, however far its
    report has come.
    """
    studies.hold(connection, study_uid)
    newest = _newest(connection, study_uid)
    stopped = _stopped(connection, study_uid, newest)
    if dead := [job.err for job in stopped if job.state == JobState.DEAD]:
        _still_failed(connection, study_uid, dead[-1])
        return False
    dismissed = {job.kind: job.err for job in stopped}
    if newest is None and not dismissed:
        return False
    found, refusal = _sums(connection, newest), _refusal(connection, newest)
    state = StudyState.REFUSED if refusal else _reached(found, dismissed)
    reason = {
        StudyState.REFUSED: refusal,
        StudyState.DELIVERED: "" if found.asked else _NOBODY_ASKS if found.built else _NOTHING_MADE,
        StudyState.DISMISSED: next(reversed(dismissed.values()), ""),
    }
    _study(connection, study_uid, state, reason.get(state, ""))
    if state is StudyState.DELIVERED:
        told = {"inference": newest, "objects": found.stored}
        audit.record_once(connection, now, What.STUDY_DELIVERED, study_uid, told)
    return state is StudyState.DELIVERED


def _refusal(connection: Connection, newest: int | None) -> str:
    """Why no film may be judged, where the newest result says just that."""
    i = schema.inference.c
    said = select(i.output["refusal"].as_string()).where(i.id == newest)
    return connection.execute(said).scalar() or ""


class _Sums(NamedTuple):
    """What there is of an analysis; its objects are counted once for each destination."""

    built: bool
    building: bool
    asked: int
    stored: int
    waited_for: int


def _sums(connection: Connection, newest: int | None) -> _Sums:
    a, d, j = schema.artefact.c, schema.delivery.c, schema.job.c
    ended = (JobState.DONE, JobState.DISMISSED)
    built, building = connection.execute(
        select(
            exists().where(a.inference_id == newest),
            exists().where(j.dedupe == f"build:{newest}", j.state.not_in(ended)),
        )
    ).one()
    counted = connection.execute(
        select(func.count(), func.count(d.stored_at), func.count(case((is_waited_for(), 1))))
        .select_from(schema.delivery.join(schema.artefact, a.sop_uid == d.artefact_uid))
        .where(a.inference_id == newest)
    ).one()
    return _Sums(built, building, *counted)


def _reached(found: _Sums, dismissed: Collection[str]) -> StudyState:
    """How far a study is of which jobs of these kinds were dismissed."""
    if found.building and not found.built:
        return StudyState.ANALYSED
    if found.waited_for:
        return StudyState.REPORTED
    whole = found.stored == found.asked and _BEFORE_DELIVERY.isdisjoint(dismissed)
    return StudyState.DELIVERED if whole else StudyState.DISMISSED


def _stopped(connection: Connection, study_uid: str, newest: int | None) -> Sequence[Row[str, str, str]]:
    """Jobs of the study's newest images and newest analysis that are dead, or were dismissed."""
    j = schema.job.c
    theirs = (j.kind == JobKind.INFER) | (j.dedupe == f"build:{newest}") | j.dedupe.startswith(f"deliver:{newest}:")
    stopped = (j.study_uid == study_uid, j.state.in_((JobState.DEAD, JobState.DISMISSED)), theirs)
    return connection.execute(select(j.kind, j.state, j.err).where(*stopped).order_by(j.id)).all()


def _still_failed(connection: Connection, study_uid: str, error: str) -> None:
    """Name a failure that is left, where another one was named that is past."""
    s = schema.study.c
    failed = (s.uid == study_uid, s.state == StudyState.FAILED)
    connection.execute(update(schema.study).where(*failed).values(reason=error))


def last_received_at(connection: Connection, study_uid: str) -> float:
    """When the newest image of a study arrived (epoch seconds)."""
    return float(connection.execute(select(schema.study.c.last_at).where(schema.study.c.uid == study_uid)).scalar_one())


def _newest(connection: Connection, study_uid: str) -> int | None:
    i = schema.inference.c
    return connection.execute(select(func.max(i.id)).where(i.study_uid == study_uid)).scalar()


def _study(connection: Connection, study_uid: str, state: StudyState, reason: str = "") -> None:
    connection.execute(update(schema.study).where(schema.study.c.uid == study_uid).values(state=state, reason=reason))


def _delivery(connection: Connection, artefact_uid: str, dest: str, **values: object) -> None:
    d = schema.delivery.c
    connection.execute(update(schema.delivery).where(d.artefact_uid == artefact_uid, d.dest == dest).values(**values))
