"""Stages of model packages: one row for each version, moved in one transaction with its line in the audit trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Entry, Stage
from cxrd.store import audit, schema
from cxrd.store.audit import What

OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Running:
    """A package in the hands of one infer worker.

    Attributes
    ----------
    provider : str
        Execution provider in force; "" where it could not be loaded.
    fault : str
        Why it could not.
    """

    model: str
    version: str
    digest: str
    stage: str
    provider: str
    fault: str = ""


def entries(connection: Connection) -> tuple[Entry, ...]:
    """Every version that is known, by model and version."""
    p = schema.package.c
    rows = connection.execute(
        select(p.model, p.version, p.digest, p.stage, p.follows, p.since).order_by(p.model, p.since)
    )
    return tuple(Entry(row.model, row.version, row.digest, Stage(row.stage), row.follows, row.since) for row in rows)


def lock(connection: Connection) -> None:
    """Let one operator at a time move stages; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('cxrd packages'))"))


def adopt(connection: Connection, now: float, found: Mapping[tuple[str, str], str]) -> None:
    """Take what answers of models that nothing is known of as active.

    Parameters
    ----------
    found : Mapping
        Model and version to digest.
    """
    lock(connection)
    known = {e.model for e in entries(connection)}
    for (model, version), digest in found.items():
        if model not in known:
            _insert(connection, now, Entry(model, version, digest, Stage.ACTIVE))
            _tell(connection, now, What.MODEL_ADOPTED, f"{model}@{version}", {"digest": digest}, actor=audit.ACTOR)


def follow_release(connection: Connection, now: float, model: str, version: str, digest: str) -> None:
    """Make the starter package of another release the active one; the one before went with its release."""
    lock(connection)
    before = _of(connection, model, Stage.ACTIVE)
    if before is not None and (before.version, before.digest) != (version, digest):
        p = schema.package.c
        connection.execute(delete(schema.package).where(p.model == model, p.version == before.version))
        _place(connection, now, Entry(model, version, digest, Stage.ACTIVE))
        detail = {"digest": digest, "before": before.version, "by": "release"}
        _tell(connection, now, What.MODEL_ADOPTED, f"{model}@{version}", detail, actor=audit.ACTOR)


def add(connection: Connection, now: float, model: str, version: str, digest: str) -> None:
    """Make a version known.

    Raises
    ------
    PackageError
        The number is known already, with other bytes.
    """
    lock(connection)
    before = find(connection, model, version)
    if before is None:
        _insert(connection, now, Entry(model, version, digest, Stage.ADDED))
        _tell(connection, now, What.MODEL_ADDED, f"{model}@{version}", {"digest": digest})
    elif before.digest != digest:
        raise PackageError(
            f"{model}@{version} is known with digest {before.digest[:12]}, this one has {digest[:12]}",
            hint="a published version never changes: raise the version and export again",
        )


def shadow(connection: Connection, now: float, model: str, version: str) -> None:
    """Let a version look on; the one that did before waits again.

    Raises
    ------
    PackageError
        It is unknown, retired or the one that answers.
    """
    lock(connection)
    entry = movable(connection, model, version)
    if entry.stage is Stage.ACTIVE:
        raise PackageError(f"{model}@{version} is active", hint="it answers; only another version can look on")
    if entry.stage is Stage.SHADOW:
        return
    unshadow(connection, now, model)
    _put(connection, now, entry, Stage.SHADOW)
    _tell(connection, now, What.MODEL_SHADOWED, f"{model}@{version}", {})


def unshadow(connection: Connection, now: float, model: str) -> bool:
    """Let nothing look on beside a model any more; whether anything did."""
    lock(connection)
    entry = _of(connection, model, Stage.SHADOW)
    if entry is not None:
        _put(connection, now, entry, Stage.ADDED)
        _tell(connection, now, What.MODEL_UNSHADOWED, f"{model}@{entry.version}", {})
    return entry is not None


def promote(connection: Connection, now: float, model: str, version: str, detail: Mapping[str, Any]) -> None:
    """Let a version answer; the one that did waits, and a rollback returns to it.

    Parameters
    ----------
    detail : Mapping
        What the gate found and whether it was overruled, for the audit trail.

    Raises
    ------
    PackageError
        It is unknown, retired or active already.
    """
    lock(connection)
    entry = movable(connection, model, version)
    if entry.stage is Stage.ACTIVE:
        raise PackageError(f"{model}@{version} is active already", hint="cxrd models ls")
    before = _of(connection, model, Stage.ACTIVE)
    if before is not None:
        _put(connection, now, before, Stage.ADDED)
    _place(connection, now, entry._replace(stage=Stage.ACTIVE, follows=before.version if before else ""))
    told = {**detail, "digest": entry.digest, "before": before.version if before else ""}
    _tell(connection, now, What.MODEL_PROMOTED, f"{model}@{version}", told)


def roll_back(connection: Connection, now: float, model: str, reason: str) -> tuple[str, str]:
    """Let the version answer that the active one replaced; which answered, and which does now.

    Raises
    ------
    PackageError
        Nothing of the model is active, or it replaced nothing that may come back.
    """
    lock(connection)
    entry = _of(connection, model, Stage.ACTIVE)
    if entry is None:
        raise PackageError(f"no version of {model} is active", hint="cxrd models ls")
    before = find(connection, model, entry.follows)
    if before is None or before.stage is Stage.RETIRED:
        why = f"{before.version} is retired" if before else "it replaced none"
        raise PackageError(f"{model}@{entry.version} has no version to go back to: {why}", hint="promote another one")
    _put(connection, now, entry, Stage.ADDED)
    _put(connection, now, before, Stage.ACTIVE)
    detail = {"before": entry.version, "digest": before.digest, "reason": reason}
    _tell(connection, now, What.MODEL_ROLLED_BACK, f"{model}@{before.version}", detail)
    return entry.version, before.version


def retire(connection: Connection, now: float, model: str, version: str, reason: str, *, force: bool) -> None:
    """Never load a version again.

    Raises
    ------
    PackageError
        It is unknown, or answers and ``force`` does not say that the model shall leave service.
    """
    lock(connection)
    entry = _known(connection, model, version)
    if entry.stage is Stage.ACTIVE and not force:
        raise PackageError(
            f"{model}@{version} is active", hint="promote another version first; --force takes the model out of service"
        )
    if entry.stage is not Stage.RETIRED:
        _put(connection, now, entry, Stage.RETIRED)
        _tell(connection, now, What.MODEL_RETIRED, f"{model}@{version}", {"was": str(entry.stage), "reason": reason})


def find(connection: Connection, model: str, version: str) -> Entry | None:
    """One version; None where it is unknown."""
    return next((e for e in entries(connection) if (e.model, e.version) == (model, version)), None)


def movable(connection: Connection, model: str, version: str) -> Entry:
    """One version that may still answer or look on.

    Raises
    ------
    PackageError
        It is unknown or retired.
    """
    entry = _known(connection, model, version)
    if entry.stage is Stage.RETIRED:
        raise PackageError(
            f"{model}@{version} is retired",
            hint="it never comes back: export it again under a higher version, cxrd models add that, and promote it",
        )
    return entry


def tell_runs(connection: Connection, worker_id: str, runs: Sequence[Running]) -> None:
    """Note what an infer worker has loaded, for whoever asks what really answers."""
    w = schema.worker.c
    connection.execute(update(schema.worker).where(w.id == worker_id).values(runs=[asdict(r) for r in runs]))


def running(connection: Connection, now: float, within_s: float) -> dict[str, list[Running]]:
    """What each infer worker that beat of late has loaded, by host."""
    w = schema.worker.c
    rows = connection.execute(select(w.host, w.runs).where(w.runs.is_not(None), w.beat_at > now - within_s))
    return {host: [Running(**one) for one in runs] for host, runs in rows if runs}


def _of(connection: Connection, model: str, stage: Stage) -> Entry | None:
    return next((e for e in entries(connection) if (e.model, e.stage) == (model, stage)), None)


def _known(connection: Connection, model: str, version: str) -> Entry:
    entry = find(connection, model, version)
    if entry is None:
        raise PackageError(f"{model}@{version} is not known", hint="cxrd models add PATH makes it known")
    return entry


def _insert(connection: Connection, now: float, entry: Entry) -> None:
    connection.execute(insert(schema.package).values(**{**entry._asdict(), "stage": str(entry.stage), "since": now}))


def _put(connection: Connection, now: float, entry: Entry, stage: Stage) -> None:
    _place(connection, now, entry._replace(stage=stage))


def _place(connection: Connection, now: float, entry: Entry) -> None:
    """Write a version's row, new or not."""
    p = schema.package.c
    mine = (p.model == entry.model) & (p.version == entry.version)
    values = {"digest": entry.digest, "stage": str(entry.stage), "follows": entry.follows, "since": now}
    if not connection.execute(update(schema.package).where(mine).values(**values)).rowcount:
        _insert(connection, now, entry)


def _tell(
    connection: Connection, now: float, what: What, subject: str, detail: Mapping[str, Any], actor: str = OPERATOR
) -> None:
    audit.record(connection, now, what, subject, detail, actor=actor)
