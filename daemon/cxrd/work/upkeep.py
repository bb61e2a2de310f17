"""The ``tick`` role: chores that keep the node sound, on APScheduler's in-process timers.

Reap leases whose workers are gone, seal the audit trail, ask each destination for an echo, sweep temporary
files, look for drift. Every chore may fail without harm: it is logged and comes round again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import nan
from threading import Event
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from cxrd.crashpoints import reach
from cxrd.peers import Destination
from cxrd.settings import Settings
from cxrd.store import audit, carriers, commitments, jobs, lanes, observations
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.tls import ends, expiries
from cxrd.watch import metrics as m
from cxrd.watch.lifeline import wait_for
from cxrd.watch.logs import logger
from cxrd.work.drift import Drifting

Echo = Callable[[Destination], bool]


class Upkeep:
    """All chores of one node.

    Parameters
    ----------
    database, payload
        What is kept sound.
    settings : Settings
        Intervals, and the crashes after which a job is dead.
    ask : callable
        Asks one destination for a C-ECHO.
    adopt : callable
        Files objects whose rows are missing; how many.
    retain : callable
        Removes what a site wants to keep no longer.
    drifting : Drifting
        Holds the newest films against the packages' own.
    metrics : Metrics
        Where the answers go.
    """

    def __init__(  # noqa: PLR0913 - what the chores touch
        self,
        database: Database,
        payload: Payloads,
        settings: Settings,
        *,
        ask: Echo,
        adopt: Callable[[], int],
        retain: Callable[[], None],
        drifting: Drifting,
        metrics: m.Metrics,
    ) -> None:
        self._database = database
        self._payload = payload
        self._settings = settings
        self._ask = ask
        self._adopt = adopt
        self._retain = retain
        self._drifting = drifting
        self._metrics = metrics
        self._log: Any = logger()

    def run(self, stop: Event) -> None:
        """Run every chore on its interval until told to stop."""
        scheduler = BackgroundScheduler(timezone="UTC")
        for chore, seconds in (
            (self.reap, self._settings.schedule.reap_s),
            (self.look_ahead, self._settings.schedule.reap_s),
            (self.seal, self._settings.audit.seal_s),
            (self.ask_destinations, self._settings.schedule.echo_s),
            (self.look_at_certificates, self._settings.schedule.echo_s),
            (self.sweep, self._settings.retention.sweep_s),
            (self.retain, self._settings.retention.sweep_s),
            (self.look_for_drift, self._settings.drift.every_s),
        ):
            scheduler.add_job(
                self._guarded(chore),
                "interval",
                seconds=seconds,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
                next_run_time=datetime.now(UTC),  # each begins at once, and none waits for another
            )
        scheduler.start()
        wait_for(stop)
        scheduler.shutdown(wait=False)

    def follow(self, settings: Settings) -> None:
        """Look after other destinations from the next round on; one that is gone is neither up nor down."""
        for name in {d.name for d in self._settings.destinations} - {d.name for d in settings.destinations}:
            self._metrics.set(m.DESTINATION_UP, nan, destination=name)
        before, after = (dict(_tls_ends(s)) for s in (self._settings, settings))
        for which in before.keys() - after.keys():
            self._metrics.set(m.CERTIFICATE_EXPIRY, nan, which=which)
        self._settings = settings

    def reap(self) -> None:
        """Give the work of dead workers to others."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            reaped = jobs.reap(connection, now, max_crashes=self._settings.work.max_crashes)
            carriers.forget(connection, now)
        if reaped:
            self._log.warning("leases ended without a result", jobs=reaped)

    def look_ahead(self) -> None:
        """Make jobs ready that are due soon, and bring times back that a clock set back has left far away."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            jobs.promote(connection, now, ahead_s=jobs.PARK_S)
            clamped = jobs.clamp(
                connection, now, longest_wait_s=self._settings.longest_wait_s(), lease_s=self._settings.work.lease_s
            ) + lanes.clamp(connection, now)
            stray = lanes.bury_strays(connection, now, [d.name for d in self._settings.destinations])
            commitments.close(connection, now, [d.name for d in self._settings.destinations if d.commit])
        if clamped:
            self._log.warning("jobs were due later than anything is: was a clock set back?", jobs=clamped)
        if stray:
            self._log.error("deliveries to destinations that are not configured any more", jobs=stray)

    def seal(self) -> None:
        """Chain the newest audit rows."""
        with self._database.write() as connection:
            audit.seal(connection, self._database.now(connection))
            reach("seal_before_commit")
        reach("seal_after_commit")

    def ask_destinations(self) -> None:
        """Set ``cxrd_destination_up`` by C-ECHO."""
        for destination in self._settings.destinations:
            self._metrics.set(m.DESTINATION_UP, float(self._ask(destination)), destination=destination.name)

    def look_at_certificates(self) -> None:
        """Set when each certificate in use ends."""
        for which, at in _tls_ends(self._settings):
            self._metrics.set(m.CERTIFICATE_EXPIRY, at, which=which)

    def look_for_drift(self) -> None:
        """Set the drift gauges."""
        with self._database.read() as connection:
            films = observations.newest(connection, self._settings.drift.films)
        self._drifting.look(films)

    def sweep(self) -> None:
        """Remove temporary files that a dead writer left, and adopt files that no row names."""
        self._payload.sweep()
        self._adopt()

    def retain(self) -> None:
        """Remove what a site wants to keep no longer."""
        self._retain()

    def _guarded(self, chore: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                chore()
            except Exception:  # noqa: BLE001 - a chore that fails is logged and comes round again
                self._log.exception("chore failed", chore=chore.__name__)

        return guarded


def _tls_ends(settings: Settings) -> Iterator[tuple[str, float]]:
    """When the certificates of the listener, of each destination and of each archive end."""
    for name, end in ends(settings).items():
        yield from expiries(name, end)
