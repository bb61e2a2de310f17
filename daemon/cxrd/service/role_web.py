"""The ``web`` role: metrics, health, the page, the API, and a process that judges uploads while somebody asks."""

from __future__ import annotations

from cxrd.service.prediction import Predictor
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.web.server import application, serve_web


def run(parts: Parts) -> None:
    """Serve HTTP until told to stop."""
    predictor = Predictor(parts.settings)
    app = application(
        parts.settings, parts.database, parts.payload, parts.metrics_dir, predict=predictor, metrics=parts.metrics
    )

    def follow(new: Settings) -> None:
        app.state.follow(new)
        predictor.follow(new)

    parts.follow(follow)
    parts.ready()
    try:
        serve_web(parts.settings, app, parts.stop)
    finally:
        predictor.close()
