"""Renew leases, and leave when that fails (engine rule 4).

Two threads: one renews through a connection of its own; the other only looks at the monotonic clock. A
connection into a black hole can hang for minutes in spite of every timeout, so the watcher ends the whole
process after two thirds of a lease without a beat: a worker that cannot prove that it is alive must not
hold work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Any

from cxrd.errors import StoreError
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.watch.logs import logger

EXIT_NO_HEARTBEAT = 70


class Heartbeat:
    """Beats for one worker until stopped.

    Parameters
    ----------
    database : Database
        The queue.
    owner : str
        Worker whose leases are renewed.
    lease_s : float
        Length of a lease, seconds; a beat is due every third of it.
    leave : callable
        Ends the process; a test passes its own.
    holds_work : bool
        Whether the worker claims anything. One that does not stays when the database is away: a listener goes on
        answering 0xA700, and has nothing that another could take over.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        lease_s: float,
        leave: Callable[[int], Any] = os._exit,
        *,
        holds_work: bool = True,
    ) -> None:
        self._database = database
        self._owner = owner
        self._lease_s = lease_s
        self._leave = leave
        self._holds_work = holds_work
        self._stop = Event()
        self._last = monotonic()
        self._log: Any = logger()

    def start(self) -> None:
        """Start both threads; the second only where there is work to be held."""
        for target in (self._beat, self._watch) if self._holds_work else (self._beat,):
            Thread(target=target, daemon=True, name=f"heartbeat-{target.__name__}").start()

    def stop(self) -> None:
        """Stop both threads."""
        self._stop.set()

    def _beat(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.write() as connection:
                    jobs.renew(connection, self._database.now(connection), self._owner, self._lease_s)
                self._last = monotonic()
            except StoreError as error:
                self._log.warning("heartbeat failed", error=str(error))
            self._stop.wait(self._lease_s / 3)

    def _watch(self) -> None:
        limit = self._lease_s * 2 / 3
        while not self._stop.wait(min(0.5, limit / 4)):
            if monotonic() - self._last > limit:
                self._log.error("no heartbeat for two thirds of a lease; leaving so that another worker takes over")
                self._leave(EXIT_NO_HEARTBEAT)
                return
