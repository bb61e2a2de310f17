"""Storage commitment as rows: what was asked, by transaction UID, and what each answer changes (PS3.4 annex J).

An answer may come on the association of its question or on a new one, to any process of any machine, so the
transaction is found by its UID alone. One question has one answer: a repeated one changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cxrd.commitment import DUPLICATE_TRANSACTION, Reference, Report, wording
from cxrd.store import audit, jobs, redelivery, schema
from cxrd.store.audit import What
from cxrd.store.retry import backoff
from cxrd.store.schema import JobKind, JobState

ANSWERABLE_S = 7 * 86_400.0
"""How long the answer to a question is waited for while newer ones are asked; one that comes later is not known."""
RESEND_BASE_S, RESEND_CAP_S = 5.0, 600.0

_commitment = schema.commitment.c


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer came to: objects of one destination that it keeps, and those that are sent again."""

    dest: str
    committed: int
    failed: int


def key(inference_id: int, dest: str) -> str:
    """The dedupe key of the job that asks a destination to commit an analysis's objects."""
    return f"commitment:{inference_id}:{dest}"


def await_commitment(connection: Connection, now: float, delivered: jobs.Claim) -> None:
    """Have a destination asked about what it has stored, given the ``deliver`` claim that is done."""
    mine = key(int(delivered.payload["inference_id"]), delivered.lane)
    if not jobs.enqueue(
        connection,
        now,
        JobKind.COMMITMENT,
        dedupe=mine,
        study_uid=delivered.study_uid,
        priority=delivered.priority,
        payload=delivered.payload,
        lane=delivered.lane,
    ):
        redelivery.reopen_job(connection, now, mine, due=now)  # it was asked before, and asked to send again


def uncommitted(connection: Connection, inference_id: int, dest: str) -> list[Reference]:
    """Objects of an analysis that a destination has stored and not committed."""
    a, d = schema.artefact.c, schema.delivery.c
    rows = connection.execute(
        select(a.sop_class, a.sop_uid)
        .join(schema.delivery, d.artefact_uid == a.sop_uid)
        .where(a.inference_id == inference_id, d.dest == dest, d.stored_at.is_not(None), d.committed_at.is_(None))
        .order_by(a.sop_uid)
    )
    return [Reference(*row) for row in rows]


def ask(
    connection: Connection, now: float, transaction_uid: str, held: jobs.Claim, references: Sequence[Reference]
) -> None:
    """Write a question down, before it is asked: from now on its answer may come, for ``ANSWERABLE_S``."""
    row = {"transaction_uid": transaction_uid, "inference_id": int(held.payload["inference_id"]), "dest": held.lane}
    same = (_commitment.inference_id == row["inference_id"], _commitment.dest == held.lane)
    old = (_commitment.answered_at.is_(None), _commitment.asked_at < now - ANSWERABLE_S)
    connection.execute(delete(schema.commitment).where(*same, *old))  # a peer that never answers is asked for ever
    objects = [reference.sop_uid for reference in references]
    connection.execute(
        insert(schema.commitment).values(**row, study_uid=held.study_uid, objects=objects, asked_at=now, failed=0)
    )
    told = {"dest": held.lane, "transaction": transaction_uid, "objects": len(objects)}
    audit.record(connection, now, What.COMMITMENT_ASKED, held.study_uid, told)


def hear(connection: Connection, now: float, told: Report) -> Heard | None:
    """Write an answer down: objects are committed, or opened to be sent again.

    Returns
    -------
    Heard or None
        None when nobody here asked.
    """
    asked = connection.execute(
        select(schema.commitment).where(_commitment.transaction_uid == told.transaction_uid).with_for_update()
    ).first()
    if asked is None:
        return None
    if asked.answered_at is not None:
        return Heard(asked.dest, 0, 0)
    ours = set(asked.objects)
    committed = [uid for uid in told.committed if uid in ours and _commit(connection, now, asked, uid)]
    refused = {uid: reason for uid, reason in told.failed.items() if uid in ours and reason != DUPLICATE_TRANSACTION}
    wait_s = backoff(1 + _failures(connection, asked), base_s=RESEND_BASE_S, cap_s=RESEND_CAP_S, jitter=1.0)
    failed = [uid for uid, why in refused.items() if _send_again(connection, now, asked, uid, why, now + wait_s)]
    row = _commitment.transaction_uid == told.transaction_uid
    connection.execute(update(schema.commitment).where(row).values(answered_at=now, failed=len(failed)))
    redelivery.reopen_job(connection, now, key(asked.inference_id, asked.dest), due=now)  # it finds what is left to ask
    return Heard(asked.dest, len(committed), len(failed))


def close(connection: Connection, now: float, dests: Collection[str]) -> int:
    """Ask no more where nobody wants to know any more; how many jobs end.

    Parameters
    ----------
    dests : collection of str
        Destinations that are to commit.
    """
    j = schema.job.c
    waiting = j.state.in_((JobState.READY, JobState.DELAYED))
    over = {"state": JobState.DONE, "finished_at": now, "err": "commitment is not asked of this destination any more"}
    unwanted = (j.kind == JobKind.COMMITMENT, waiting, j.lane.not_in(dests))
    return connection.execute(update(schema.job).where(*unwanted).values(**over)).rowcount


def oldest_age_by_dest(connection: Connection, now: float) -> dict[str, float]:
    """Seconds since each destination was first to be asked about what it has not committed."""
    j = schema.job.c
    waiting = j.state.in_((JobState.READY, JobState.DELAYED, JobState.LEASED))
    query = select(j.lane, func.min(j.created_at)).where(j.kind == JobKind.COMMITMENT, waiting).group_by(j.lane)
    return {str(dest): max(0.0, now - since) for dest, since in connection.execute(query)}


def _commit(connection: Connection, now: float, asked: Row[Any], sop_uid: str) -> bool:
    d = schema.delivery.c
    theirs = (d.artefact_uid == sop_uid, d.dest == asked.dest, d.stored_at.is_not(None), d.committed_at.is_(None))
    if not connection.execute(update(schema.delivery).where(*theirs).values(committed_at=now, error="")).rowcount:
        return False
    told = {"dest": asked.dest, "transaction": asked.transaction_uid}
    audit.record(connection, now, What.OBJECT_COMMITTED, sop_uid, told)
    return True


def _send_again(connection: Connection, now: float, asked: Row[Any], sop_uid: str, reason: int, due: float) -> bool:
    """Open a delivery again, unless another answer, or a later sending, has overtaken this one."""
    d = schema.delivery.c
    theirs = (d.artefact_uid == sop_uid, d.dest == asked.dest, d.committed_at.is_(None), d.stored_at <= asked.asked_at)
    if connection.execute(select(d.dest).where(*theirs)).first() is None:
        return False
    sent = redelivery.Sent(asked.study_uid, sop_uid, asked.inference_id, asked.dest, stored=True)
    redelivery.open_again(connection, now, sent, error=f"not committed: {wording(reason)}", due=due)
    told = {"dest": asked.dest, "transaction": asked.transaction_uid, "reason": wording(reason)}
    audit.record(connection, now, What.OBJECT_NOT_COMMITTED, sop_uid, told)
    return True


def _failures(connection: Connection, asked: Row[Any]) -> int:
    """How often a destination has refused to commit objects of this analysis."""
    same = (_commitment.inference_id == asked.inference_id, _commitment.dest == asked.dest, _commitment.failed > 0)
    return int(connection.execute(select(func.count()).where(*same)).scalar_one())
