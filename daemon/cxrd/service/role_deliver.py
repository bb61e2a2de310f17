"""The ``deliver`` role: results out, several at once, so that one slow destination never holds up another."""

from __future__ import annotations

from contextlib import suppress

from cxrd.delivery.committer import Committer
from cxrd.delivery.courier import Courier
from cxrd.delivery.reports import Reports
from cxrd.errors import StoreError
from cxrd.service.crew import Crew
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.store import lanes
from cxrd.store.database import Database
from cxrd.watch import metrics as m
from cxrd.watch.lifeline import wait_for

MAX_SENDERS = 16
SAY_S = 60.0
"""Every so many seconds the database hears which destinations are served here."""


def run(parts: Parts) -> None:
    """Send what is due to every destination that takes it."""
    parts.metrics.expect(m.STAGE, stage=["deliver"])
    parts.metrics.expect(m.TURNAROUND_SECONDS)
    courier = Courier(parts.database, parts.payload, parts.settings, parts.metrics)
    reports = Reports(parts.database, parts.settings, parts.metrics)
    committers: dict[str, Committer] = {}
    crew = Crew(parts)
    served: list[str] = []

    def follow(settings: Settings) -> None:
        served[:] = [d.name for d in settings.destinations]
        _say(parts.database, served)
        courier.follow(settings)
        reports.follow(settings)
        for committer in committers.values():
            committer.follow(settings)
        for name in {d.name for d in settings.destinations if d.commit} - committers.keys():
            committers[name] = Committer(parts.database, settings, reports, parts.metrics, name)
            crew.grow(committers[name], 1)  # one each: a peer may take its time to answer
        crew.grow(courier, min(MAX_SENDERS, max(1, sum(d.max_associations for d in settings.destinations))))

    parts.ready()
    follow(parts.settings)
    parts.follow(follow)
    while not wait_for(parts.stop, at_most_s=SAY_S):
        with suppress(StoreError):  # the workers tell of it, and there is time
            _say(parts.database, served)
    crew.join()


def _say(database: Database, names: list[str]) -> None:
    with database.write() as connection:
        lanes.register(connection, names)
        lanes.serve(connection, database.now(connection), names)
