"""Which bytes and rows may go: those of studies that are finished, longer ago than a site wants to keep them.

Rows first, then files. A film or object keeps its row, which then says since when its bytes may be gone; its hash is
doomed. Days later a doomed file is removed, if no row names it by then: a database restored from a younger backup
than that still finds all its files. Audit rows, refused objects that were kept aside, and jobs that wait for a person
never go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, exists, func, select, update

from cxrd.store import audit, jobs, schema, studies
from cxrd.store.audit import What
from cxrd.store.outstanding import is_waited_for
from cxrd.store.remnants import HERE
from cxrd.store.schema import FINISHED, JobKind, JobState

_artefact, _delivery, _doomed, _instance = (
    schema.artefact.c, schema.delivery.c, schema.doomed.c, schema.instance.c
)  # fmt: skip
_inference, _job, _preview, _study = schema.inference.c, schema.job.c, schema.preview.c, schema.study.c
_STUDIES = (JobKind.INFER, JobKind.BUILD, JobKind.DELIVER, JobKind.COMMITMENT)
"""Those of a backfill tell how far it is, and stay."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one study gave up."""

    bytes: int = 0
    films: int = 0
    previews: int = 0
    objects: int = 0


def studies_with_films(connection: Connection, *, before: float, limit: int) -> list[str]:
    """Finished studies whose films came, and whose work ended, before an epoch second; the oldest first."""
    return _finished(connection, schema.instance, _instance.received_at, before, limit)


def studies_with_objects(connection: Connection, *, before: float, limit: int) -> list[str]:
    """Finished studies whose objects nobody waits for any more, all before an epoch second."""
    return _finished(connection, schema.artefact, _artefact.built_at, before, limit)


def _finished(connection: Connection, table: Table, at: Any, before: float, limit: int) -> list[str]:
    mine = _study.uid == table.c.study_uid
    kept = (table.c.removed_at.is_(None), at < before)
    query = select(table.c.study_uid).where(*kept, exists().where(mine, *_ended(before)))
    rows = connection.execute(query.group_by(table.c.study_uid).order_by(func.min(at)).limit(limit))
    return list(rows.scalars())


def _ended(before: float) -> Sequence[Any]:
    """A study in which nothing happens any more, and nothing did since an epoch second."""
    working = _job.state.not_in((JobState.DONE, JobState.DISMISSED)) | (_job.finished_at >= before)
    waiting = select(_artefact.sop_uid).join(schema.delivery, _delivery.artefact_uid == _artefact.sop_uid)
    return (
        _study.state.in_(FINISHED),
        _study.last_at < before,
        ~exists().where(_job.study_uid == _study.uid, working),
        ~waiting.where(_artefact.study_uid == _study.uid, is_waited_for()).exists(),
    )


def remove_films(connection: Connection, now: float, study_uid: str, *, before: float) -> Removed:
    """Give up the films of a study and the previews made of them; nothing if the study lives again."""
    if not _hold_ended(connection, study_uid, before):
        return Removed()
    rows = _give_up(connection, now, schema.instance, study_uid)
    theirs = _preview.inference_id.in_(select(_inference.id).where(_inference.study_uid == study_uid))
    gone = delete(schema.preview).where(theirs).returning(_preview.sha256)
    previews = set(connection.execute(gone).scalars())
    _doom(connection, now, {row.sha256 for row in rows} | previews)
    removed = Removed(sum(row.size for row in rows), films=len(rows), previews=len(previews))
    told = {"films": removed.films, "previews": removed.previews, "bytes": removed.bytes}
    audit.record(connection, now, What.FILMS_REMOVED, study_uid, told)
    return removed


def remove_objects(connection: Connection, now: float, study_uid: str, *, before: float) -> Removed:
    """Give up the bytes of a study's objects, which nobody waits for; nothing if the study lives again."""
    if not _hold_ended(connection, study_uid, before):
        return Removed()
    rows = _give_up(connection, now, schema.artefact, study_uid)
    _doom(connection, now, {row.sha256 for row in rows})
    removed = Removed(sum(row.size for row in rows), objects=len(rows))
    audit.record(connection, now, What.OBJECTS_REMOVED, study_uid, {"objects": removed.objects, "bytes": removed.bytes})
    return removed


def _hold_ended(connection: Connection, study_uid: str, before: float) -> bool:
    """Lock a study's row, as an arriving image does, and look again whether it has ended."""
    if not studies.hold(connection, study_uid):
        return False
    ended = select(_study.uid).where(_study.uid == study_uid, *_ended(before))
    return connection.execute(ended).first() is not None


def _give_up(connection: Connection, now: float, table: Table, study_uid: str) -> Sequence[Row[Any]]:
    mine = (table.c.study_uid == study_uid, table.c.removed_at.is_(None))
    return connection.execute(
        update(table).where(*mine).values(removed_at=now).returning(table.c.sha256, table.c.size)
    ).all()


def _doom(connection: Connection, now: float, digests: Collection[str]) -> None:
    for digest in sorted(digests):
        connection.execute(
            jobs.dialect_insert(connection, schema.doomed)
            .values(sha256=digest, at=now)
            .on_conflict_do_update(index_elements=["sha256"], set_={"at": now})
        )


def doomed(connection: Connection, *, before: float, limit: int) -> list[str]:
    """Hashes that were doomed before an epoch second and that no row names; those that one names are pardoned."""
    old = select(_doomed.sha256).where(_doomed.at < before).order_by(_doomed.at).limit(limit)
    digests = list(connection.execute(old).scalars())
    named = _named(connection, digests)
    pardon(connection, named)
    return [digest for digest in digests if digest not in named]


def pardon(connection: Connection, digests: Collection[str]) -> None:
    """Forget that bytes are to be removed: a row names them, or they are gone."""
    if digests:
        connection.execute(delete(schema.doomed).where(_doomed.sha256.in_(digests)))


def _named(connection: Connection, digests: Collection[str]) -> set[str]:
    r = schema.remnant.c
    living = (
        select(_instance.sha256).where(_instance.removed_at.is_(None), _instance.sha256.in_(digests)),
        select(_artefact.sha256).where(_artefact.removed_at.is_(None), _artefact.sha256.in_(digests)),
        select(schema.quarantine.c.sha256).where(schema.quarantine.c.sha256.in_(digests)),
        select(_preview.sha256).where(_preview.sha256.in_(digests)),
        select(r.sha256).where(r.dest == HERE, r.sha256.in_(digests)),
    )
    return {digest for query in living for digest in connection.execute(query).scalars()}


def remove_jobs(connection: Connection, now: float, *, before: float, limit: int) -> int:
    """Delete rows of jobs that were done before an epoch second; how many."""
    old = select(_job.id).where(_job.state == JobState.DONE, _job.finished_at < before, _job.kind.in_(_STUDIES))
    some = old.order_by(_job.finished_at).limit(limit).scalar_subquery()
    count = connection.execute(delete(schema.job).where(_job.id.in_(some))).rowcount
    if count:
        audit.record(connection, now, What.JOBS_REMOVED, "jobs", {"jobs": count})
    return count
