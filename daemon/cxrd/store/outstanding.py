"""Which deliveries are still waited for, and by whom they are carried."""

from __future__ import annotations

from sqlalchemy import ColumnElement, String, and_, cast, exists, literal

from cxrd.store import schema
from cxrd.store.schema import JobState


def delivery_key(inference_id: int, dest: str) -> str:
    """The dedupe key of the job that brings an analysis's objects to a destination."""
    return f"deliver:{inference_id}:{dest}"


def is_waited_for() -> ColumnElement[bool]:
    """Of a ``delivery`` joined with its ``artefact``: not stored, and the job that brings it is not dismissed.

    The job's state alone says so: whoever opens the job again has the delivery waited for, and forgets nothing.
    """
    d, j = schema.delivery.c, schema.job.c
    key = literal("deliver:") + cast(schema.artefact.c.inference_id, String) + literal(":") + d.dest
    dismissed = exists().where(j.dedupe == key, j.state == JobState.DISMISSED)
    return and_(d.stored_at.is_(None), ~dismissed)
