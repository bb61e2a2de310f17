"""The end of one claim as a value: what one transaction writes to move a study on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from cxrd.store.jobs import Claim
from cxrd.store.schema import JobKind

Effect = Callable[[Connection, float], None]
"""What a step writes, given the open transaction and the database's time (epoch seconds)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A claim and its effect, which also closes the claim (finish, retry or bury)."""

    claim: Claim
    effect: Effect


class Handler(Protocol):
    """Turns claims into steps; slow work (GPU, network) happens between transactions, never inside one."""

    kind: JobKind

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[Claim]:
        """Lease what this handler can do next."""
        ...

    def __call__(self, claims: Sequence[Claim]) -> Iterable[Step]:
        """Yield one step for each claim."""
        ...
