"""Is the node fit to work? A pure judgement over facts that the caller collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Check(NamedTuple):
    """One line of ``cxrd check``, ``/readyz`` and ``/api/v1/health``.

    Attributes
    ----------
    name : str
        What was looked at.
    ok : bool
        Green or red.
    found : str
        What was found, without patient data.
    todo : str
        What to do when it is red, or warns.
    warn : bool
        It works, and yet somebody should look.
    """

    name: str
    ok: bool
    found: str
    todo: str = ""
    warn: bool = False

    @property
    def state(self) -> str:
        """``ok``, ``warn`` or ``fail``."""
        return "fail" if not self.ok else "warn" if self.warn else "ok"


def ready(checks: Sequence[Check]) -> bool:
    """Whether every check is green."""
    return all(check.ok for check in checks)


def disk(free: int, minimum: int) -> Check:
    """Free bytes at the payload store against the watermark (bytes)."""
    return Check(
        "disk", free > minimum, f"{free / 2**30:.1f} GiB free, watermark {minimum / 2**30:.1f} GiB",
        "free space on the payload volume: below the watermark C-STORE is answered 0xA700",
        warn=free < 2 * minimum,
    )  # fmt: skip


def beats(expected: Sequence[str], ages: dict[str, float], limit_s: float) -> list[Check]:
    """Each expected role's youngest heartbeat, in seconds, against ``limit_s``."""
    found = []
    for role in expected:
        age = ages.get(role)
        text = "never seen" if age is None else f"last heartbeat {age:.1f} s ago"
        todo = f"see the log of role {role}; the supervisor restarts a crashed role by itself"
        found.append(Check(f"role {role}", age is not None and age <= limit_s, text, todo))
    return found
