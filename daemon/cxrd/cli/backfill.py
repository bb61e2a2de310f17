"""``cxrd backfill``: have an archive's past analysed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxrd.cli import completing, printing
from cxrd.cli.node import Config, Json
from cxrd.errors import ConfigError, CxrdError
from cxrd.service.databases import existing
from cxrd.settings import Settings, load
from cxrd.store import backfills, progress
from cxrd.store.database import Database

if TYPE_CHECKING:
    from cxrd.backfill.slices import Slice
    from cxrd.peers import Archive

app = typer.Typer(help="Have an archive's old chest films analysed.", no_args_is_help=True)
Name = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="Name of an archive in the configuration.", autocompletion=completing.archives
    ),
]
OPERATOR = "operator"


def register(parent: typer.Typer) -> None:
    """Add this family of commands."""
    parent.add_typer(app, name="backfill")


@app.command("start")
def start(  # noqa: PLR0913, PLR0917 - an operator's switches
    archive: Name,
    since: Annotated[str, typer.Option("--from", metavar="YYYYMMDD", help="First study date.")],
    until: Annotated[str, typer.Option("--to", metavar="YYYYMMDD", help="Last study date (default: yesterday).")] = "",
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days asked for at once; halved where too many.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only search, and count.")] = False,  # noqa: FBT002 - a flag
    config: Config = None,
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Fetch the studies of a range of dates, the newest first, while `cxrd serve` runs.

    What is here already is not fetched again. Live studies are always analysed first.

    Example: cxrd backfill start archive --from 20200101 --to 20201231 --dry-run
    """
    from cxrd.backfill.slices import day, plan  # noqa: PLC0415 - `cxrd queue ls` should not pay for it

    settings = load(config)
    peer = _archive(settings, archive)
    first, last = _day("--from", since), _day("--to", until) if until else date.today() - timedelta(days=1)  # noqa: DTZ011
    if last < first:
        raise ConfigError(f"--to {day(last)} is before --from {day(first)}")
    parts = list(plan(first, last, days))
    database = existing(settings.database.url)
    if dry_run:
        _count(settings, peer, database, parts, as_json=as_json)
        return
    with database.write() as connection:
        made = backfills.start(
            connection,
            database.now(connection),
            archive,
            first=day(first),
            last=day(last),
            slices=[part.plain() for part in parts],
            actor=OPERATOR,
        )
    if made is None:
        raise CxrdError(
            f"{archive} has a backfill that is not finished", hint=f"wait, or cxrd backfill cancel {archive}"
        )
    typer.echo(f"backfill {made} of {archive} begins with {parts[0]}; cxrd backfill ls shows how far it is")


def _count(settings: Settings, peer: Archive, database: Database, parts: list[Slice], *, as_json: bool) -> None:
    from cxrd.backfill.fetch import search  # noqa: PLC0415 - as in start

    found: list[dict[str, Any]] = []
    with printing.progress() as bar:
        task = bar.add_task("searching", total=sum(part.days for part in parts))
        for part, studies in search(peer, settings.dicom.ae_title, parts):
            with database.read() as connection:
                here = backfills.known_studies(connection, studies)
            found.append({"dates": str(part), "studies": len(studies), "here": len(here)})
            bar.advance(task, part.days)
    printing.rows(f"{peer.name}: a dry run", ("dates", "studies", "here"), found, as_json=as_json)
    if not as_json:
        total = sum(row["studies"] for row in found)
        hours = total / peer.studies_per_minute / 60
        typer.echo(f"{total} studies; at {peer.studies_per_minute:g} a minute at least {hours:.1f} h of fetching")


@app.command("ls")
def ls(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """List backfills and how far each is, the newest first.

    Example: cxrd backfill ls
    """
    database = existing(load(config).database.url)
    with database.read() as connection:
        now = database.now(connection)
        found = [_line(row, now) for row in progress.of(connection, now)]
    printing.rows(
        "Backfills", ("archive", "dates", "state", "searched", "studies", "eta", "why"), found, as_json=as_json
    )


def _line(row: progress.Progress, now: float) -> dict[str, Any]:
    from cxrd.backfill.slices import Slice, parse_day  # noqa: PLC0415 - as in start

    days = (parse_day(row.last) - parse_day(row.first)).days + 1
    left = sum(Slice.of(part).days for part in row.slices)
    eta = row.eta_s(now, days=days, days_left=left)
    shown = {
        "dates": f"{row.first}-{row.last}",
        "state": "paused" if row.paused else row.state,
        "studies": f"{row.done} of {row.done + row.waiting}" + (f", {row.failed} failed" if row.failed else ""),
        "searched": f"{100 * (days - left) // days} %",
        "eta": "" if eta is None else printing.clock(now + eta),
        "eta_s": eta,
    }
    return asdict(row) | shown


@app.command("show")
def show(
    archive: Name,
    state: Annotated[str, typer.Option(help="Only waiting, complete, skipped, failed or cancelled ones.")] = "",
    config: Config = None,
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """List the studies of an archive's newest backfill, and why any of them did not come.

    Example: cxrd backfill show archive --state failed
    """
    database = existing(load(config).database.url)
    with database.read() as connection:
        newest = next((row for row in progress.of(connection, time.time(), limit=1000) if row.archive == archive), None)
        if newest is None:
            raise CxrdError(f"{archive} has had no backfill", hint="cxrd backfill ls shows which there are")
        found = progress.studies(connection, newest.id, state or None)
    shown = ("study_date", "study_uid", "state", "expected", "stored", "reason")
    printing.rows(f"Backfill {newest.id} of {archive}", shown, found, as_json=as_json)


@app.command("pause")
def pause(archive: Name, config: Config = None) -> None:
    """Ask an archive for nothing until it is resumed; what is being fetched now is finished.

    Example: cxrd backfill pause archive
    """
    _change(backfills.pause, archive, config)
    typer.echo(f"{archive} is left alone")


@app.command("resume")
def resume(archive: Name, config: Config = None) -> None:
    """Ask a paused archive again, and try again what had died.

    Example: cxrd backfill resume archive
    """
    _change(backfills.resume, archive, config)
    typer.echo(f"{archive} is asked again")


@app.command("cancel")
def cancel(archive: Name, config: Config = None) -> None:
    """Fetch nothing more of a backfill; what has come stays, and is analysed.

    Example: cxrd backfill cancel archive
    """
    _change(backfills.cancel, archive, config)
    typer.echo(f"the backfill of {archive} is cancelled")


def _change(change: Callable[..., bool], archive: str, config: Path | None) -> None:
    """Do something to the backfill that an archive has."""
    database = existing(load(config).database.url)
    with database.write() as connection:
        known = change(connection, database.now(connection), archive, actor=OPERATOR)
    if not known:
        raise CxrdError(
            f"{archive} has no backfill that is not finished", hint="cxrd backfill ls shows which there are"
        )


def _archive(settings: Settings, name: str) -> Archive:
    found = next((a for a in settings.archives if a.name == name), None)
    if found is None:
        names = ", ".join(a.name for a in settings.archives) or "none"
        raise ConfigError(f"no archive {name} is configured", hint=f"[[archives]] are: {names}")
    return found


def _day(option: str, text: str) -> date:
    from cxrd.backfill.slices import parse_day  # noqa: PLC0415 - as in start

    try:
        return parse_day(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no date", hint="for example 20200131") from None
