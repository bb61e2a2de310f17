"""The ``tick`` role: chores on timers."""

from __future__ import annotations

from functools import partial

from cxrd.delivery import sender
from cxrd.intake.adoption import Adoption
from cxrd.service.roles import Parts
from cxrd.work.upkeep import Upkeep


def run(parts: Parts) -> None:
    """Run the chores until told to stop."""
    parts.ready()
    settings = parts.settings
    Upkeep(
        parts.database,
        parts.payload,
        settings,
        echoes={d.name: partial(sender.echo, d, settings.dicom.ae_title) for d in settings.destinations},
        adopt=Adoption(parts.database, parts.payload),
        metrics=parts.metrics,
    ).run(parts.stop)
