"""Results of one study take turns: an earlier one is built, and reaches a destination, before a later one.

What arrives last is what a reader, or a system that passes reports on, takes for the newest; and a report can only name
the one that it replaces when that is there.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select, update

from cxrd.findings import StudyAnalysis
from cxrd.store import jobs, schema, studies
from cxrd.store.jobs import Claim
from cxrd.store.schema import JobState

_job = schema.job.c
_WAITING = (JobState.READY, JobState.DELAYED)
_WHY = "an earlier result of the study goes first"


def taking(connection: Connection, analysis: StudyAnalysis) -> StudyAnalysis | None:
    """What is to be recorded of an analysis, so that the newest result of its study says what the node says now.

    Rules or models may be changed and changed back: an answer that another one has replaced is given again, after that.

    Returns
    -------
    StudyAnalysis or None
        The analysis, with a digest of its own where an earlier result has its key; None where the newest says the same.
    """
    studies.hold(connection, analysis.study_uid)
    i = schema.inference.c
    theirs = select(i.input_digest, i.model_digest, i.config_digest).where(i.study_uid == analysis.study_uid)
    keys = [(row[0], row[1], row[2]) for row in connection.execute(theirs.order_by(i.id.desc()))]
    if analysis.key not in keys:
        return analysis
    if keys[0] in {analysis.key, *(analysis.after(key).key for key in keys[1:2])}:
        return None
    return analysis.after(keys[0])


def must_wait(connection: Connection, held: Claim) -> bool:
    """Whether it is still to be done for an earlier result of the study; what waits for a person holds up none."""
    still = _job.state.in_((*_WAITING, JobState.LEASED))
    return connection.execute(select(_job.id).where(*_before(held), still).limit(1)).first() is not None


def wait(connection: Connection, now: float, held: Claim) -> None:
    """Come back in a moment, when it may be done for the earlier results."""
    jobs.release(connection, now, held, error=_WHY, delay_s=1.0)


def give_way(connection: Connection, now: float, held: Claim, *, delay_s: float) -> None:
    """Have it done for the earlier results now, and for this one after so many seconds."""
    waiting = _job.state.in_(_WAITING)
    connection.execute(update(schema.job).where(*_before(held), waiting).values(due=now, state=JobState.READY))
    jobs.retry(connection, now, held, delay_s=delay_s, error=_WHY)


def _before(held: Claim) -> tuple[ColumnElement[bool], ...]:
    """Jobs of the claim's kind, and of its destination, for earlier results of its study."""
    mine = int(held.payload["inference_id"])
    theirs = (_job.kind == held.kind, _job.lane == held.lane, _job.study_uid == held.study_uid)
    return (*theirs, _job.payload["inference_id"].as_integer() < mine)
