"""The ``deliver`` role: results out."""

from __future__ import annotations

from cxrd.delivery.courier import Courier
from cxrd.service.roles import Parts
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Send what is due to every destination that takes it."""
    parts.ready()
    courier = Courier(parts.database, parts.payload, parts.settings, parts.metrics)
    Loop(parts.database, courier, parts.worker_id, parts.settings.work, parts.stop).run()
