"""Claim, handle, close: the one loop that every queue worker runs.

A handler turns claims into steps. A step is what must happen in *one* transaction to move a study on; the
loop opens that transaction, applies the step and closes the claim under its fence, so a worker that lost
its lease writes nothing (engine rule 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import random
from threading import Event
from typing import Any

from sqlalchemy import Connection

from cxrd.crashpoints import reach
from cxrd.errors import CxrdError, StoreError
from cxrd.settings import Work
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.retry import backoff
from cxrd.store.steps import Effect, Handler
from cxrd.watch.logs import logger


class Loop:
    """One worker of one kind of job.

    Parameters
    ----------
    database : Database
        The queue.
    handler : Handler
        What is done with a claim.
    owner : str
        Worker id that leases are written under.
    settings : Work
        Lease, poll and limits.
    stop : Event
        Set to stop claiming; what is claimed is finished first.
    """

    def __init__(self, database: Database, handler: Handler, owner: str, settings: Work, stop: Event) -> None:
        self._database = database
        self._handler = handler
        self._owner = owner
        self._settings = settings
        self._stop = stop
        self._lost = ""  # why the claims of the last round may still be leased to us
        self._log: Any = logger()

    def run(self) -> None:
        """Work until told to stop; a store that does not answer is waited for, for ever."""
        failures = 0
        while not self._stop.is_set():
            try:
                idle = not self.once()
                failures = 0
            except StoreError as error:
                failures += 1
                pause = backoff(failures, base_s=self._settings.poll_s, cap_s=15.0, jitter=random())  # noqa: S311 - jitter is no secret
                self._log.warning("store does not answer", error=str(error), again_in_s=round(pause, 1))
                self._stop.wait(pause)
                continue
            if idle:
                self._stop.wait(self._settings.poll_s * (0.5 + random()))  # noqa: S311 - jitter keeps workers apart

    def once(self) -> bool:
        """Claim what is due and handle it; False when nothing was.

        Raises
        ------
        StoreError
            The store is away; the next call gives back what this one could not close.
        """
        if self._lost:  # the heartbeat renews every lease of ours, so none of them would ever run out
            with self._database.write() as connection:
                jobs.release_all(connection, self._database.now(connection), self._owner, error=self._lost)
            self._lost = ""
        try:
            return self._once()
        except StoreError as error:
            self._lost = str(error)
            raise

    def _once(self) -> bool:
        with self._database.write() as connection:
            claims = self._handler.claim(
                connection, self._database.now(connection), owner=self._owner, lease_s=self._settings.lease_s
            )
        if not claims:
            return False
        reach(f"{self._handler.kind}_claimed")
        self._handle(claims)
        return True

    def _handle(self, claims: Sequence[jobs.Claim]) -> None:
        """Handle claims together; when that fails, each alone, so that one never takes its neighbours with it."""
        waiting = {claim.id: claim for claim in claims}
        try:
            for step in self._handler(claims):
                self._apply(step.claim, step.effect)
                del waiting[step.claim.id]
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - the worker's last door: log, decide by the error, go on
            if len(claims) > 1:
                self._log.warning(
                    "a batch failed; its jobs are tried one by one", error=str(error), jobs=sorted(waiting)
                )
                for claim in waiting.values():
                    self._handle([claim])
                return
            self._log.exception("job failed", kind=str(self._handler.kind), jobs=sorted(waiting))
            for claim in waiting.values():
                self._apply(claim, self._failure(claim, error))

    def _apply(self, claim: jobs.Claim, effect: Effect) -> None:
        try:
            with self._database.write() as connection:
                effect(connection, self._database.now(connection))
                reach(f"{self._handler.kind}_before_commit")
            reach(f"{self._handler.kind}_after_commit")
        except jobs.Fenced:
            self._log.warning("lease was lost; its result is discarded", job=claim.id, study=claim.study_uid)

    def _failure(self, claim: jobs.Claim, error: Exception) -> Effect:
        permanent = isinstance(error, CxrdError) and not error.retryable
        # what waits for another system has counted its waits as attempts, and dies of no passing trouble of ours
        patient = isinstance(error, CxrdError) and bool(claim.lane)
        message = str(error) if isinstance(error, CxrdError) else f"{type(error).__name__}: {error}"

        def effect(connection: Connection, now: float) -> None:
            if permanent or (claim.attempts >= self._settings.max_attempts and not patient):
                jobs.bury(connection, now, claim, error=message)
            else:
                delay = backoff(claim.attempts, base_s=1.0, cap_s=60.0, jitter=random())  # noqa: S311 - jitter
                jobs.retry(connection, now, claim, delay_s=delay, error=message)

        return effect
