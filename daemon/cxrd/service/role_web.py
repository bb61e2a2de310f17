"""The ``web`` role: metrics, health and the page."""

from __future__ import annotations

from cxrd.service.roles import Parts
from cxrd.web.server import serve_web


def run(parts: Parts) -> None:
    """Serve HTTP until told to stop."""
    parts.ready()
    serve_web(parts.settings, parts.database, parts.payload, parts.stop, parts.metrics_dir, parts.follow)
