"""The ``tick`` role: chores that keep the node sound, on APScheduler's in-process timers.

Reap leases whose workers are gone, seal the audit trail, ask each destination for an echo, sweep temporary
files. Every chore may fail without harm: it is logged and comes round again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from cxrd.settings import Settings
from cxrd.store import audit, jobs
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger

Echo = Callable[[], bool]


class Upkeep:
    """All chores of one node.

    Parameters
    ----------
    database, payload
        What is kept sound.
    settings : Settings
        Intervals, and the crashes after which a job is dead.
    echoes : Mapping from destination name to callable
        Asks one destination for a C-ECHO.
    metrics : Metrics
        Where the answers go.
    """

    def __init__(
        self,
        database: Database,
        payload: PayloadStore,
        settings: Settings,
        *,
        echoes: Mapping[str, Echo],
        metrics: m.Metrics,
    ) -> None:
        self._database = database
        self._payload = payload
        self._settings = settings
        self._echoes = echoes
        self._metrics = metrics
        self._log: Any = logger()

    def run(self, stop: Event) -> None:
        """Run every chore on its interval until told to stop."""
        scheduler = BackgroundScheduler(timezone="UTC")
        for chore, seconds in (
            (self.reap, self._settings.schedule.reap_s),
            (self.seal, self._settings.audit.seal_s),
            (self.ask_destinations, self._settings.schedule.echo_s),
            (self.sweep, self._settings.retention.sweep_s),
        ):
            self._guarded(chore)()
            scheduler.add_job(self._guarded(chore), "interval", seconds=seconds, max_instances=1, coalesce=True)
        scheduler.start()
        stop.wait()
        scheduler.shutdown(wait=False)

    def reap(self) -> None:
        """Give the work of dead workers to others."""
        with self._database.write() as connection:
            reaped = jobs.reap(connection, self._database.now(connection), max_crashes=self._settings.work.max_crashes)
        if reaped:
            self._log.warning("leases ended without a result", jobs=reaped)

    def seal(self) -> None:
        """Chain the newest audit rows."""
        with self._database.write() as connection:
            audit.seal(connection, self._database.now(connection))

    def ask_destinations(self) -> None:
        """Set ``cxrd_destination_up`` by C-ECHO."""
        for name, echo in self._echoes.items():
            self._metrics.set(m.DESTINATION_UP, float(echo()), destination=name)

    def sweep(self) -> None:
        """Remove temporary files that a dead writer left."""
        self._payload.sweep()

    def _guarded(self, chore: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                chore()
            except Exception:  # noqa: BLE001 - a chore that fails is logged and comes round again
                self._log.exception("chore failed", chore=chore.__name__)

        return guarded
