"""The ``deliver`` role: results out, several at once, so that one slow destination never holds up another."""

from __future__ import annotations

from cxrd.delivery.committer import Committer
from cxrd.delivery.courier import Courier
from cxrd.delivery.reports import Reports
from cxrd.service.crew import Crew
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.store import lanes
from cxrd.watch import metrics as m
from cxrd.watch.lifeline import wait_for

MAX_SENDERS = 16


def run(parts: Parts) -> None:
    """Send what is due to every destination that takes it."""
    parts.metrics.expect(m.STAGE, stage=["deliver"])
    parts.metrics.expect(m.TURNAROUND_SECONDS)
    courier = Courier(parts.database, parts.payload, parts.settings, parts.metrics)
    reports = Reports(parts.database, parts.settings, parts.metrics)
    committer = Committer(parts.database, parts.settings, reports, parts.metrics)
    crew = Crew(parts)

    def follow(settings: Settings) -> None:
        with parts.database.write() as connection:
            lanes.register(connection, [d.name for d in settings.destinations])
        courier.follow(settings)
        committer.follow(settings)
        crew.grow(committer, 1)  # one asks for commitment, the others send
        crew.grow(courier, 1 + min(MAX_SENDERS, max(1, sum(d.max_associations for d in settings.destinations))))

    parts.ready()
    follow(parts.settings)
    parts.follow(follow)
    wait_for(parts.stop)
    crew.join()
