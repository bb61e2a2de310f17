"""A study's row as the place where those who decide of it take turns."""

from __future__ import annotations

from sqlalchemy import Connection, select

from cxrd.store import schema


def hold(connection: Connection, study_uid: str) -> bool:
    """Lock a study's row until the transaction ends; False when there is none.

    Whoever counts rows of a study and then sets what follows holds it first: on PostgreSQL two transactions would
    each count without the other's row, and neither would see the last one. SQLite has one writer anyway.
    """
    held = select(schema.study.c.uid).where(schema.study.c.uid == study_uid).with_for_update()
    return connection.execute(held).first() is not None
