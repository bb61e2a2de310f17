"""UIDs that are functions of what an object says, never of time or chance (engine.md §6).

``2.25.<UUID as integer>`` (PS3.5 B.2) of a name-based UUID: the same input, models and configuration give the same
UID on any machine and after any restore, so a resend can never double a result.
"""

from __future__ import annotations

from uuid import UUID, uuid5

NAMESPACE = UUID("6f0c4a3e-9f1b-5c59-8a5d-2b7f1f6f7c11")


def derive(*parts: str) -> str:
    """UID of a name made of parts; at most 44 characters."""
    return f"2.25.{uuid5(NAMESPACE, chr(0).join(parts)).int}"


def series_of(study_uid: str, kind: str) -> str:
    """UID of the series that holds every object of a kind ("sr", "sc", …) of a study."""
    return derive("series", study_uid, kind)
