"""Commands over the audit trail."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from cxrd.cli import printing
from cxrd.cli.node import Config, Json
from cxrd.errors import ConfigError, CxrdError
from cxrd.service.databases import existing
from cxrd.settings import load
from cxrd.store import audit as trail
from cxrd.store.audit import What

COLUMNS = ("id", "at", "actor", "what", "subject", "detail", "seal_id", "digest")
OPERATOR = "operator"
Write = Callable[[Mapping[str, Any]], object]

audit = typer.Typer(help="The audit trail.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.add_typer(audit, name="audit")


@audit.command("verify")
def verify(
    config: Config = None,
    head: Annotated[str, typer.Option(help="Hash that an earlier verification printed.")] = "",
    as_json: Json = False,  # noqa: FBT002 - a flag is what typer makes of it
) -> None:
    """Recompute the chain of seals, and say whether any row was changed, added or removed since it was written.

    Note the hash it prints outside this machine; given back with --head, it shows that the trail was not cut off.
    Exit code 1 when the chain does not hold; the first broken row is named first.

    Example: cxrd audit verify --head 6f1e...
    """
    database = existing(load(config).database.url)
    with printing.progress() as progress, database.read() as connection:
        task = progress.add_task("rows", total=None)
        found = trail.verify(connection, head=head, advance=lambda rows: progress.advance(task, rows))
    told = {
        "holds": not found.faults,
        **{n: getattr(found, n) for n in ("seals", "rows", "unsealed", "head", "faults")},
    }
    if as_json:
        typer.echo(json.dumps(told))
    else:
        for fault in found.faults:
            typer.echo(fault)
        typer.echo(f"{found.rows} rows under {found.seals} seals, {found.unsealed} not sealed yet; head {found.head}")
    if found.faults:
        raise CxrdError(
            f"the audit trail does not hold: {found.faults[0]}", hint="compare with a backup or an earlier export"
        )


@audit.command("export")
def export(
    config: Config = None,
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, or moment (ISO 8601).")] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Last day, or the moment before which it ends.")
    ] = "",
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="JSON lines or CSV.")] = "json",
    out: Annotated[Path | None, typer.Option(help="A new file; without it, standard output.")] = None,
) -> None:
    """Write the audit trail of a period, oldest first. Times without a zone are local ones.

    Example: cxrd audit export --from 2026-11-01 --to 2026-11-30 --format csv --out november.csv
    """
    since, until = _moment(start, "--from", last=False), _moment(end, "--to", last=True)
    database = existing(load(config).database.url)
    count = 0
    with database.read() as connection, _sink(out) as file, printing.progress() as progress:
        task = progress.add_task("rows", total=None)
        write = _lines(file) if form == "json" else _table(file)
        for row in trail.between(connection, since or 0.0, until or float("inf")):
            write({**row, "at": datetime.fromtimestamp(row["at"], UTC).isoformat()})
            progress.advance(task)
            count += 1
    told = {"from": start, "to": end, "rows": count}
    with database.write() as connection:
        trail.record(connection, database.now(connection), What.TRAIL_EXPORTED, "audit", told, actor=OPERATOR)
    if out is not None:
        typer.echo(f"{count} row(s) in {out}")


def _moment(text: str, option: str, *, last: bool) -> float | None:
    """Epoch seconds of an ISO 8601 date or time; of a date its beginning, or its end when it is the ``last``."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is neither a date nor a time", hint="for example 2026-11-30") from None
    if last and len(text) <= len("2026-11-30"):
        moment += timedelta(days=1)
    return moment.timestamp()


@contextmanager
def _sink(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield typer.get_text_stream("stdout")
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise CxrdError(f"{out} cannot be written: {error.strerror}", hint="name a new file") from error


def _lines(file: TextIO) -> Write:
    return lambda row: file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")


def _table(file: TextIO) -> Write:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    return lambda row: writer.writerow({**row, "detail": json.dumps(row["detail"], ensure_ascii=False)})
