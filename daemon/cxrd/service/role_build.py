"""The ``build`` role: findings become the objects that destinations want."""

from __future__ import annotations

from cxrd import __version__
from cxrd.report.facts import ReportFacts
from cxrd.service.roles import Parts
from cxrd.watch import metrics as m
from cxrd.work.build import BuildHandler
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Build objects as analyses are committed."""
    parts.metrics.expect(m.STAGE, stage=["build"])
    facts = ReportFacts.of(parts.settings.report, software_version=__version__)
    handler = BuildHandler(parts.database, parts.payload, parts.settings.destinations, facts, parts.metrics)
    parts.follow(lambda settings: handler.follow(settings.destinations))
    parts.ready()
    Loop(parts.database, handler, parts.worker_id, parts.settings.work, parts.stop).run()
