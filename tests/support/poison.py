"""A worker that meets a study which kills it, hangs it, or cannot be handled."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event

from sqlalchemy import Connection, text

from cxrd.settings import Work
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.work.loop import Loop

POISONED = "1.2.7"
BATCH = 16
LIMITS = Work(max_crashes=3, max_attempts=3, poll_s=0.05)


def segfault(_folder: Path) -> None:
    """Read address zero, as a broken decoder does."""
    ctypes.string_at(0)


def out_of_memory(_folder: Path) -> None:
    """End as the kernel's killer ends the largest process."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang(folder: Path) -> None:
    """Never come back."""
    (folder / "hanging").touch()
    time.sleep(3600)


def broken(_folder: Path) -> None:
    """Fail in a way that Python can tell."""
    raise ValueError("broken pixel data")


KINDS: dict[str, Callable[[Path], None]] = {f.__name__: f for f in (segfault, out_of_memory, hang, broken)}


class Batch:
    """A handler that looks at all of its studies before it answers for any, as the ``infer`` role does."""

    kind = JobKind.INFER

    def __init__(self, poison: str, folder: Path) -> None:
        self._meet = KINDS[poison]
        self._folder = folder

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """A whole batch."""
        return jobs.claim(connection, now, self.kind, owner=owner, limit=BATCH, lease_s=lease_s)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Meet the poison, if it is among them; then finish each."""
        if POISONED in {claim.study_uid for claim in claims}:
            self._meet(self._folder)
        for claim in claims:
            yield Step(claim, partial(jobs.finish, held=claim))


def work(url: str, owner: str, poison: str, folder: Path) -> None:
    """Work until every job has ended; the target of a process that may not live to see it."""
    database = Database(url)
    loop = Loop(database, Batch(poison, folder), owner, LIMITS, Event())
    ended = text("SELECT count(*) FROM job WHERE state NOT IN ('done', 'dead')")
    while True:
        with database.read() as connection:
            if not connection.execute(ended).scalar_one():
                return
        if not loop.once():
            time.sleep(LIMITS.poll_s)
