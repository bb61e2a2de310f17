"""Objects of ours that outlived their rows, each at the place where it was found (engine.md §6).

A study that is analysed again gets objects of the same UIDs, since UIDs are derived; their content time would be
another, and one UID must never have two contents. So building takes the bytes that are stored already, and a
destination that holds an object is not sent another.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cxrd.store import audit, schema
from cxrd.store.audit import What

HERE = ""
"""The place of an object in our own payload store; any other place is a destination's name."""

_remnant = schema.remnant.c


@dataclass(frozen=True, slots=True)
class Remnant:
    """An object without rows; a destination tells neither hash nor size."""

    sop_uid: str
    study_uid: str
    dest: str = HERE
    sha256: str = ""
    size: int = 0


def remember(connection: Connection, now: float, found: Remnant) -> bool:
    """Write a remnant down; False when it is known already."""
    if connection.execute(
        select(_remnant.sop_uid).where(_remnant.sop_uid == found.sop_uid, _remnant.dest == found.dest)
    ).first():
        return False
    row = {name: getattr(found, name) for name in Remnant.__slots__}
    connection.execute(insert(schema.remnant).values(**row, found_at=now))
    audit.record(connection, now, What.OBJECT_REMEMBERED, found.sop_uid, {"dest": found.dest, "sha256": found.sha256})
    return True


def bytes_of(connection: Connection, sop_uid: str) -> tuple[str, int] | None:
    """The sha256 (hex) and size of an object as it was built before."""
    mine = (_remnant.sop_uid == sop_uid, _remnant.dest == HERE)
    row = connection.execute(select(_remnant.sha256, _remnant.size).where(*mine)).first()
    return None if row is None else (row.sha256, row.size)


def holders(connection: Connection, sop_uid: str) -> set[str]:
    """Destinations that hold an object already."""
    there = (_remnant.sop_uid == sop_uid, _remnant.dest != HERE)
    return set(connection.execute(select(_remnant.dest).where(*there)).scalars())
