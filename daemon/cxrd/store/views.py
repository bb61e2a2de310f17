"""What the command line, the metrics and the page read; nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, func, or_, select

from cxrd.findings import StudyAnalysis
from cxrd.store import schema
from cxrd.store.audit import CONFIG, What, actor_on
from cxrd.store.lanes import FAILURES_TO_CLOSE
from cxrd.store.outstanding import is_waited_for
from cxrd.store.schema import JobKind, JobState, StudyState

NO_STUDY = "(no study UID)"
_OPEN = (JobState.DELAYED, JobState.READY, JobState.LEASED)
UNFINISHED = (StudyState.RECEIVED, StudyState.ANALYSED, StudyState.REPORTED)
Rows = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study in a list; times are epoch seconds."""

    uid: str
    accession: str
    state: str
    stat: bool
    source: str
    first_at: float
    last_at: float
    images: int
    reason: str

    @property
    def place(self) -> str:
        """Where it stands in the list, to go on from there."""
        return f"{self.last_at!r}~{self.uid}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which studies to list; what is empty does not matter.

    Attributes
    ----------
    text : str
        Part of the Study Instance UID or of the accession number.
    after : str
        :attr:`StudyRow.place` of the study to go on from.
    since : float
        Only studies whose newest image came then or later, epoch seconds.
    """

    state: str = ""
    source: str = ""
    text: str = ""
    after: str = ""
    since: float = 0.0

    @property
    def place(self) -> tuple[float, str]:
        """Time and UID to go on from; a place that nobody gave is the beginning."""
        at, _, uid = self.after.partition("~")
        try:
            return float(at), uid
        except ValueError:
            return float("inf"), ""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One line of ``cxrd queue ls``: jobs of one stage, or of one destination, by state. Times are epoch seconds.

    Attributes
    ----------
    oldest_due : float or None
        When the oldest job that waits or is worked on fell, or falls, due.
    closed_until : float or None
        The destination did not answer and is left alone until then.
    seen_at : float or None
        When a role of some host last said that it sends to the destination; of an archive none says so.
    """

    kind: str
    lane: str
    delayed: int
    ready: int
    leased: int
    dead: int
    dismissed: int
    oldest_due: float | None
    paused: bool
    closed_until: float | None
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class StudyView:
    """Everything that is known of one study; times are epoch seconds."""

    uid: str
    accession: str
    state: str
    reason: str
    source: str
    first_at: float
    last_at: float
    images: Rows
    quarantined: Rows
    findings: Rows
    objects: Rows
    deliveries: Rows
    jobs: Rows
    audit: Rows


def studies(connection: Connection, *, limit: int, wanted: Wanted = Wanted()) -> list[StudyRow]:
    """Newest studies first; objects whose study is not known stand under their own line."""
    s, i = schema.study, schema.instance
    images = select(func.count()).where(i.c.study_uid == s.c.uid).correlate(s).scalar_subquery()
    columns = [s.c.uid, s.c.accession, s.c.state, s.c.stat, s.c.source, s.c.first_at, s.c.last_at, images, s.c.reason]
    query = select(*columns).order_by(s.c.last_at.desc(), s.c.uid.desc()).limit(limit)
    at, uid = wanted.place
    if wanted.after:
        query = query.where(or_(s.c.last_at < at, and_(s.c.last_at == at, s.c.uid < uid)))
    if wanted.since:
        query = query.where(s.c.last_at >= wanted.since)
    if wanted.state:
        query = query.where(s.c.state == wanted.state)
    if wanted.source:
        query = query.where(s.c.source == wanted.source)
    if wanted.text:
        parts = (s.c.uid.contains(wanted.text, autoescape=True), s.c.accession.contains(wanted.text, autoescape=True))
        query = query.where(or_(*parts))
    found = [StudyRow(*row) for row in connection.execute(query)]
    if wanted.state in ("", "quarantined"):
        found += [row for row in _orphans(connection) if _fits(row, wanted)]
    return sorted(found, key=lambda row: (row.last_at, row.uid), reverse=True)[:limit]


def _fits(row: StudyRow, wanted: Wanted) -> bool:
    """Whether a line of quarantined objects is asked for."""
    source = not wanted.source or row.source == wanted.source
    asked = source and wanted.text in row.uid and row.last_at >= wanted.since
    return asked and (not wanted.after or (row.last_at, row.uid) < wanted.place)


def _orphans(connection: Connection) -> list[StudyRow]:
    """Quarantined objects of studies that have no row."""
    q, s = schema.quarantine.c, schema.study.c
    rows = connection.execute(
        select(q.study_uid, q.source, func.min(q.at), func.max(q.at), func.count(), func.max(q.reason))
        .where(q.study_uid.not_in(select(s.uid)))
        .group_by(q.study_uid, q.source)
    )
    return [
        StudyRow(uid or NO_STUDY, "", "quarantined", False, source, first, last, count, reason)
        for uid, source, first, last, count, reason in rows
    ]


def study_uid(connection: Connection, key: str) -> str | None:
    """The UID of a study by its UID or accession number, of several the newest; None when it was not received."""
    s = schema.study.c
    named = or_(s.uid == key, and_(s.accession == key, s.accession != ""))
    return connection.execute(select(s.uid).where(named).order_by(s.last_at.desc()).limit(1)).scalar()


def study(connection: Connection, key: str) -> StudyView | None:
    """One study by its UID or accession number; None when nothing is known of it."""
    row = connection.execute(select(schema.study).where(schema.study.c.uid == study_uid(connection, key))).first()
    uid = row.uid if row else "" if key == NO_STUDY else key
    quarantined = _rows(connection, schema.quarantine, schema.quarantine.c.study_uid == uid, "at")
    if row is None and not quarantined:
        return None
    artefacts = _rows(connection, schema.artefact, schema.artefact.c.study_uid == uid, "built_at")
    uids = [a["sop_uid"] for a in artefacts]
    images = _rows(connection, schema.instance, schema.instance.c.study_uid == uid, "received_at")
    subjects = [uid, *uids, *(i["sop_uid"] for i in images), *(q["sop_uid"] or q["sha256"] for q in quarantined)]
    return StudyView(
        uid=uid or NO_STUDY,
        accession=row.accession if row else "",
        state=row.state if row else "quarantined",
        reason=row.reason if row else quarantined[0]["reason"],
        source=row.source if row else quarantined[0]["source"],
        first_at=row.first_at if row else quarantined[0]["at"],
        last_at=row.last_at if row else quarantined[-1]["at"],
        images=images,
        quarantined=quarantined,
        findings=_findings(analysis(connection, uid)),
        objects=artefacts,
        deliveries=_rows(connection, schema.delivery, schema.delivery.c.artefact_uid.in_(uids), "artefact_uid"),
        jobs=_rows(connection, schema.job, schema.job.c.study_uid == uid, "id"),
        audit=_rows(connection, schema.audit, schema.audit.c.subject.in_(subjects), "id"),
    )


def patients(connection: Connection, study_uids: Iterable[str]) -> dict[str, str]:
    """Patient ID of each study, for a site that wants to see it."""
    s = schema.study.c
    rows = connection.execute(select(s.uid, s.patient_id).where(s.uid.in_(list(study_uids))))
    return {str(uid): str(patient) for uid, patient in rows}


def sources(connection: Connection) -> list[str]:
    """Names of every source that ever sent a study."""
    s = schema.study.c
    return [str(name) for name in connection.execute(select(s.source).distinct().order_by(s.source)).scalars()]


def removed_films(connection: Connection, study_uid: str) -> int:
    """How many films of a study have given up their bytes."""
    i = schema.instance.c
    gone = select(func.count()).where(i.study_uid == study_uid, i.removed_at.is_not(None))
    return int(connection.execute(gone).scalar_one())


def analysis(connection: Connection, study_uid: str) -> StudyAnalysis | None:
    """The newest analysis of a study; of one that a newer version wrote, as much as this one knows."""
    i = schema.inference.c
    output = connection.execute(
        select(i.output).where(i.study_uid == study_uid).order_by(i.id.desc()).limit(1)
    ).scalar()
    return None if output is None else StudyAnalysis.model_validate(output, extra="ignore")


def _findings(found: StudyAnalysis | None) -> Rows:
    return tuple(
        {
            "model": f"{answer.model.id} {answer.model.version}",
            "finding": finding.class_id,
            "probability": round(finding.probability, 4),
            "threshold": finding.threshold,
            "answer": str(finding.answer),
            "applicability": str(answer.applicability),
            "image": film.film.sop_uid,
        }
        for film, answer, finding in (found.findings() if found else ())
    )


def _rows(connection: Connection, table: Table, where: Any, order: str) -> Rows:
    query: Select[Any] = select(table).where(where).order_by(table.c[order])
    return tuple(dict(row._mapping) for row in connection.execute(query))  # noqa: SLF001 - SQLAlchemy's public name


def studies_by_state(connection: Connection) -> dict[str, int]:
    """Number of studies in each state."""
    s = schema.study.c
    query = select(s.state, func.count()).group_by(s.state).order_by(s.state)
    return {str(state): int(n) for state, n in connection.execute(query)}


def queue(connection: Connection) -> list[QueueRow]:
    """Stages and destinations with what waits in each; a destination is there even when nothing waits for it."""
    j, d = schema.job.c, schema.dest.c
    counted = select(j.kind, j.lane, j.state, func.count(), func.min(j.due)).where(j.state != JobState.DONE)
    found: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
    for kind, lane, state, count, due in connection.execute(counted.group_by(j.kind, j.lane, j.state)):
        found.setdefault((kind, lane), {})[state] = (count, due)
    asked = select(d.name, d.kind, d.paused, d.fails, d.open_until, d.seen_at)
    dests = {row.name: row for row in connection.execute(asked)}
    lanes = sorted((row.kind, name) for name, row in dests.items())
    for stage in ((JobKind.INFER, ""), (JobKind.BUILD, ""), *lanes):
        found.setdefault(stage, {})
    order: dict[str, int] = {kind: number for number, kind in enumerate(JobKind)}  # a newer version may know more
    return [
        QueueRow(
            kind=kind,
            lane=lane,
            **{str(state): by.get(state, (0, 0.0))[0] for state in JobState if state != JobState.DONE},
            oldest_due=min((due for state, (_, due) in by.items() if state in _OPEN), default=None),
            paused=lane in dests and dests[lane].paused,
            closed_until=dests[lane].open_until if lane in dests and dests[lane].fails >= FAILURES_TO_CLOSE else None,
            seen_at=(dests[lane].seen_at or None) if lane in dests else None,
        )
        for (kind, lane), by in sorted(found.items(), key=lambda item: (order.get(item[0][0], len(order)), *item[0]))
    ]


def jobs(
    connection: Connection, *, kind: str | None, lane: str | None, state: str | None, limit: int
) -> list[dict[str, Any]]:
    """Jobs one by one, the longest due first; without a state, all that are neither done nor dismissed."""
    j = schema.job.c
    wanted = [j.state.not_in((JobState.DONE, JobState.DISMISSED)) if state is None else j.state == state]
    wanted += [column == value for column, value in ((j.kind, kind), (j.lane, lane)) if value is not None]
    found = connection.execute(select(schema.job).where(*wanted).order_by(j.due, j.id).limit(limit))
    return [dict(row) for row in found.mappings()]


def jobs_by_kind_state(connection: Connection) -> dict[tuple[str, str], int]:
    """Number of jobs of each kind and state."""
    j = schema.job.c
    query = select(j.kind, j.state, func.count()).group_by(j.kind, j.state).order_by(j.kind, j.state)
    return {(kind, state): n for kind, state, n in connection.execute(query)}


def oldest_job_age_by_kind(connection: Connection, now: float) -> dict[str, float]:
    """Seconds since the oldest unfinished job of each kind fell due; 0 when all are for later."""
    j = schema.job.c
    open_states = (JobState.READY, JobState.LEASED)
    query = select(j.kind, func.min(j.due)).where(j.state.in_(open_states)).group_by(j.kind)
    return {kind: max(0.0, now - due) for kind, due in connection.execute(query)}


def oldest_study_age_by_state(connection: Connection, now: float) -> dict[str, float]:
    """Seconds since the last image of the oldest study in each state that is no end; 0 where there is none."""
    s = schema.study.c
    found = dict.fromkeys(map(str, UNFINISHED), 0.0)
    query = select(s.state, func.min(s.last_at)).where(s.state.in_(UNFINISHED)).group_by(s.state)
    return found | {str(state): max(0.0, now - last) for state, last in connection.execute(query)}


def paused_by_dest(connection: Connection) -> dict[str, bool]:
    """Whether an operator keeps each destination from being sent to."""
    d = schema.dest.c
    return {str(name): bool(paused) for name, paused in connection.execute(select(d.name, d.paused))}


def config_refused(connection: Connection, host: str) -> bool:
    """Whether the newest configuration that a host was asked to take was refused."""
    a = schema.audit.c
    query = select(a.what).where(a.subject == CONFIG, a.actor == actor_on(host)).order_by(a.id.desc()).limit(1)
    return connection.execute(query).scalar() == What.CONFIG_REFUSED


def oldest_undelivered_by_dest(connection: Connection, now: float) -> dict[str, float]:
    """Seconds since the oldest object that each destination has not taken, and that is waited for, was built."""
    a, d = schema.artefact.c, schema.delivery.c
    query = (
        select(d.dest, func.min(a.built_at))
        .join(schema.artefact, a.sop_uid == d.artefact_uid)
        .where(is_waited_for())
        .group_by(d.dest)
    )
    return {dest: max(0.0, now - built) for dest, built in connection.execute(query)}


def last_instance_by_source(connection: Connection) -> dict[str, float]:
    """When each source last sent an image, epoch seconds."""
    i = schema.instance.c
    query = select(i.source, func.max(i.received_at)).group_by(i.source)
    return {str(source): float(at) for source, at in connection.execute(query)}


def last_beat_by_role(connection: Connection, host: str | None = None) -> dict[str, float]:
    """The youngest heartbeat of each role, epoch seconds; only of one machine's roles where it is named."""
    w = schema.worker.c
    query = select(w.role, func.max(w.beat_at)).group_by(w.role)
    if host is not None:
        query = query.where(w.host == host)
    return {str(role): float(at) for role, at in connection.execute(query)}


def last_beat_by_worker(connection: Connection) -> dict[str, float]:
    """The youngest heartbeat of each worker, epoch seconds."""
    w = schema.worker.c
    return {str(worker): float(at) for worker, at in connection.execute(select(w.id, w.beat_at))}


def newest_audit_at(connection: Connection) -> float:
    """When the newest row of the audit trail was written, epoch seconds; 0 when there is none."""
    a = schema.audit.c
    return float(connection.execute(select(a.at).order_by(a.id.desc()).limit(1)).scalar() or 0.0)


def audit_seal_lag(connection: Connection, now: float) -> float:
    """Seconds since the oldest audit row that no seal covers yet was written; 0 when all are sealed."""
    a = schema.audit.c
    oldest = connection.execute(select(func.min(a.at)).where(a.seal_id.is_(None))).scalar()
    return 0.0 if oldest is None else max(0.0, now - oldest)
