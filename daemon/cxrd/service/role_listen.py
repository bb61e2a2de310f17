"""The ``listen`` role: DICOM in, by one process of several."""

from __future__ import annotations

from pathlib import Path

from cxrd.delivery.reports import Reports
from cxrd.intake.listener import Listener
from cxrd.intake.places import Places
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.tls import Fault
from cxrd.watch.lifeline import wait_for
from cxrd.watch.listening import ListenerMetrics

DRAIN_S = 5.0
"""Enough for an object on its way; some peers keep an association open all day, and a stop must not wait for them."""


def run(parts: Parts) -> None:
    """Accept C-STORE until told to stop; associations in progress have ``DRAIN_S`` seconds to end."""
    reports = Reports(parts.database, parts.settings, parts.metrics)
    listener = Listener(
        parts.settings.dicom,
        parts.database,
        parts.payload,
        min_free_bytes=parts.settings.storage.min_free_mb * 2**20,
        observer=ListenerMetrics(parts.metrics, [s.name for s in parts.settings.dicom.sources] or ["any"], list(Fault)),
        reports=reports,
        places=Places(Path(parts.metrics_dir) / "associations"),
        doors=parts.doors,
    )

    def follow(settings: Settings) -> None:
        listener.follow(settings.dicom)
        reports.follow(settings)

    listener.start()
    parts.follow(follow)
    parts.ready()
    wait_for(parts.stop)
    listener.stop(drain_s=DRAIN_S)
