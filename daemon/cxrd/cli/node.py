"""Commands that run and look after a node: serve, conformance, bench, reconcile, db."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cxrd.cli import printing
from cxrd.errors import ConfigError
from cxrd.settings import ROLES, load

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file (default: config/cxrd.toml, then /etc/cxrd/cxrd.toml).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
RoleNames = Annotated[str, typer.Option(help="Comma-separated roles to run here.")]

ALL_ROLES = ",".join(ROLES)

db = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.command()(serve)
    app.command()(conformance)
    app.command()(bench)
    app.command()(reconcile)
    app.add_typer(db, name="db")


def serve(config: Config = None, roles: RoleNames = ALL_ROLES) -> None:
    """Run the node: one process for each role, kept alive by a supervisor.

    Example: cxrd serve --config config/cxrd.toml
    """
    early: list[int] = []  # a SIGHUP that comes before the supervisor listens would end the process
    signal.signal(signal.SIGHUP, lambda number, _frame: early.append(number))
    from cxrd.service import node  # noqa: PLC0415 - `cxrd studies ls` should not pay for the whole daemon

    wanted = tuple(part.strip() for part in roles.split(",") if part.strip())
    node.serve(load(config), partial(load, config), wanted, partial(_repeat, early))


def _repeat(signals: Sequence[int]) -> None:
    """Have signals of the start heard now."""
    for number in signals:
        os.kill(os.getpid(), number)


def reconcile(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare.")] = False,  # noqa: FBT002 - a flag
    since: Annotated[str, typer.Option(metavar="YYYYMMDD", help="Search destinations from this study date on.")] = "",
    younger: Annotated[float, typer.Option(help="Leave payload files younger than so many seconds alone.")] = 60.0,
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Compare the database with the payload store and each destination, and correct what a restore has set back.

    Run it after a restore from a backup, before `cxrd serve`. Films without a row are adopted, results without a
    row are remembered, what a destination lost is queued again. Exit code 1 when something is left for a person.

    Example: cxrd reconcile --dry-run
    """
    from cxrd.service.databases import existing  # noqa: PLC0415 - as in serve
    from cxrd.service.reconciliation import FOR_A_PERSON, Reconciliation  # noqa: PLC0415 - as in serve
    from cxrd.store.payload import open_payloads  # noqa: PLC0415 - as in serve
    from cxrd.watch import logs  # noqa: PLC0415 - as in serve

    if since and not (len(since) == 8 and since.isdigit()):
        raise ConfigError(f"--since {since!r} is no date", hint="for example 20260131")
    settings = load(config)
    database = existing(settings.database.url)
    logs.configure("reconcile", json=as_json)
    with printing.progress() as progress:
        task = progress.add_task("asking", total=None)
        found = list(
            Reconciliation(
                settings,
                database,
                open_payloads(settings.storage),
                since=since,
                younger_s=younger,
                change=not dry_run,
                advance=lambda _study: progress.advance(task),
            ).run()
        )
    rows = [{**asdict(row), "done": "nothing: a dry run" if dry_run else row.done} for row in found]
    printing.rows("cxrd reconcile", ("matter", "where", "study_uid", "subject", "done"), rows, as_json=as_json)
    if not as_json:
        typer.echo(f"{len(found)} difference(s)")
    if any(row.matter in FOR_A_PERSON for row in found):
        raise typer.Exit(1)


def conformance(config: Config = None) -> None:
    """Print the DICOM Conformance Statement of this configuration, in Markdown.

    Example: cxrd conformance --config config/cxrd.toml > conformance.md
    """
    from cxrd.service.conformance import statement  # noqa: PLC0415 - as in serve

    typer.echo(statement(load(config)), nl=False)


def bench(
    packages: Annotated[list[Path], typer.Argument(help="Package directories <id>/<version>; several are compared.")],
    batch: Annotated[str, typer.Option(help="Films judged together, comma-separated.")] = "1,4,16",
    runs: Annotated[int, typer.Option(min=1, help="Times measured for each.")] = 20,
    provider: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Threads of one graph; 0 is one a core.")] = 0,
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Measure how fast packages answer on this machine.

    Example: cxrd bench models/starter/charm/1.1.0 --batch 1,8
    """
    from cxrd.inference import engine, timing  # noqa: PLC0415 - as in serve

    sizes = _sizes(batch)
    found = []
    for folder in packages:
        classifier = engine.load(folder, provider, threads)
        name = {"package": f"{classifier.ref.id} {classifier.ref.version}", "provider": classifier.provider}
        found += [{**name, **timing.measure(classifier, size, runs).model_dump()} for size in sizes]
    columns = ("package", "provider", "batch", "p50_ms", "p95_ms", "films_per_s")
    printing.rows("cxrd bench", columns, found, as_json=as_json)


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",") if part.strip().isdigit()]
    if not sizes or min(sizes) < 1 or len(sizes) != len(text.split(",")):
        raise ConfigError(f"--batch {text!r} are no batch sizes", hint="for example 1,4,16")
    return sizes


@db.command("upgrade")
def db_upgrade(config: Config = None) -> None:
    """Bring the database's schema to this version.

    Example: cxrd db upgrade --config /etc/cxrd/cxrd.toml
    """
    from cxrd.store.database import Database  # noqa: PLC0415 - as in serve

    Database(load(config).database.url).upgrade()
    typer.echo("the database schema is current")


@db.command("copy")
def db_copy(
    source: Annotated[str, typer.Argument(help="URL to copy from, e.g. sqlite:////var/lib/cxrd/cxrd.db.")],
    target: Annotated[str, typer.Argument(help="URL of an empty database, e.g. postgresql+psycopg://cxrd@db/cxrd.")],
) -> None:
    """Move everything to another database, with every worker stopped; counts and audit seals are compared.

    Example: cxrd db copy sqlite:///var/cxrd.db postgresql+psycopg://cxrd@db/cxrd
    """
    from cxrd.service.databases import existing  # noqa: PLC0415 - as in serve
    from cxrd.store.copying import copy  # noqa: PLC0415 - as in serve
    from cxrd.store.database import Database  # noqa: PLC0415 - as in serve

    old, new = existing(source), Database(target)
    new.upgrade()
    with printing.progress() as progress:
        task = progress.add_task("copying", total=None)
        moved = copy(old, new, lambda table, rows: progress.update(task, advance=rows, description=table))
    for table, rows in moved.rows.items():
        typer.echo(f"{table}: {rows} rows")
    typer.echo(f"{moved.seals} audit seals hold; set database.url to the new database and start cxrd")
