"""``cxrd explain``: one study's story for the person who is asked where it is."""

from __future__ import annotations

from dataclasses import asdict

import typer

from cxrd.cli import printing
from cxrd.cli.node import Config, Json
from cxrd.cli.queue import Study
from cxrd.errors import CxrdError
from cxrd.service.databases import existing
from cxrd.settings import load
from cxrd.store import views


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(study: Study, config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say why a study is where it is: each image, models, deliveries, what happens next and what you can do.

    Example: cxrd explain 1.2.840.113619.2.1
    """
    from cxrd import telling  # noqa: PLC0415 - `cxrd --help` should not pay for it

    settings = load(config)
    database = existing(settings.database.url)
    with database.read() as connection:
        found, queue, now = views.study(connection, study), views.queue(connection), database.now(connection)
    if found is None:
        raise CxrdError(
            f"no study {study} has been received",
            hint="cxrd studies ls shows what has; the log tells whether its sender was turned away",
        )
    lines = telling.explain(found, queue, settings.peers(), now, printing.clock)
    printing.rows(f"Study {found.uid}", ("about", "what", "todo"), [asdict(line) for line in lines], as_json=as_json)
