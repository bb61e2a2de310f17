"""Commands over studies and over the queue that carries them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from cxrd.cli import printing
from cxrd.cli.node import Config, Json
from cxrd.errors import CxrdError
from cxrd.settings import Settings, load
from cxrd.store import jobs, lanes, views
from cxrd.store.database import Database

studies = typer.Typer(help="Studies and what became of them.", no_args_is_help=True)
queue = typer.Typer(help="Work that waits, and destinations that are left alone.", no_args_is_help=True)
Study = Annotated[str, typer.Argument(help="Study Instance UID or accession number.")]
Lane = Annotated[str, typer.Argument(help="Name of a destination.")]


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.add_typer(studies, name="studies")
    app.add_typer(queue, name="queue")


@studies.command("ls")
def ls(
    config: Config = None,
    state: Annotated[str | None, typer.Option(help="Only studies in this state.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many, newest first.")] = 50,
    as_json: Json = False,  # noqa: FBT002 - a flag is what typer makes of it
) -> None:
    """List studies, newest first.

    Example: cxrd studies ls --state failed
    """
    with Database(load(config).database.url).read() as connection:
        found = [asdict(row) for row in views.studies(connection, limit=limit, wanted=views.Wanted(state=state or ""))]
    shown = ("uid", "accession", "state", "source", "last_image", "reason")
    printing.rows(
        "Studies", shown, [{**row, "last_image": printing.clock(row["last_at"])} for row in found], as_json=as_json
    )


@studies.command("show")
def show(study: Study, config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Show one study: its images and why any was refused, findings, objects, deliveries, audit trail.

    Example: cxrd studies show 1.2.840.113619.2.1
    """
    with Database(load(config).database.url).read() as connection:
        found = views.study(connection, study)
    if found is None:
        raise CxrdError(f"no study {study} has been received", hint="cxrd studies ls shows what has")
    plain = asdict(found)
    if as_json:
        typer.echo(json.dumps(plain, default=str, ensure_ascii=False))
        return
    for name, value in plain.items():
        if isinstance(value, list | tuple) and value:
            printing.rows(name, tuple(value[0]), value, as_json=False)
        elif value not in (None, "", (), []):
            typer.echo(f"{name}: {printing.clock(value) if name.endswith('_at') else value}")


@studies.command("requeue")
def requeue(study: Study, config: Config = None) -> None:
    """Work on a study again: revive its dead jobs, or analyse it anew.

    Example: cxrd studies requeue 1.2.840.113619.2.1
    """
    database = Database(load(config).database.url)
    with database.write() as connection:
        count = jobs.requeue(connection, database.now(connection), study_uid=study, actor="operator")
    if not count:
        raise CxrdError(f"no study {study} has been received", hint="cxrd studies ls shows what has")
    typer.echo(f"{count} job(s) are ready again")


@queue.command("ls")
def depths(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Count what waits, is worked on or is dead, for each stage and destination, and tell which are paused or closed.

    Example: cxrd queue ls
    """
    settings = load(config)
    with Database(settings.database.url).read() as connection:
        found = [asdict(row) for row in views.queue(connection)]
    if not as_json:
        found = [{**row, **{k: printing.clock(row[k]) for k in ("oldest_due", "closed_until")}} for row in found]
    shown = ("kind", "lane", "delayed", "ready", "leased", "dead", "oldest_due", "paused", "closed_until")
    printing.rows("Queue", shown, found, as_json=as_json)


@queue.command("pause")
def pause(destination: Lane, config: Config = None) -> None:
    """Send nothing to a destination until it is resumed; results wait, and nothing is lost.

    Example: cxrd queue pause archive
    """
    _set_paused(load(config), destination, paused=True)
    typer.echo(f"{destination} is paused; what is being sent now is finished")


@queue.command("resume")
def resume(destination: Lane, config: Config = None) -> None:
    """Send to a paused destination again.

    Example: cxrd queue resume archive
    """
    _set_paused(load(config), destination, paused=False)
    typer.echo(f"{destination} gets its results again")


def _set_paused(settings: Settings, destination: str, *, paused: bool) -> None:
    database = Database(settings.database.url)
    names = [d.name for d in settings.destinations]
    with database.write() as connection:
        lanes.register(connection, names)  # an operator may pause a destination before the first start
        known = lanes.pause(connection, database.now(connection), destination, paused=paused, actor="operator")
    if not known:
        raise CxrdError(f"no destination {destination}", hint=f"configured are: {', '.join(names) or 'none'}")
