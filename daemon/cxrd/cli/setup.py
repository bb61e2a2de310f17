"""Commands before a node runs: init writes a configuration, check looks at everything it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxrd.cli import printing
from cxrd.cli.films import destination_of
from cxrd.cli.node import Config, Json
from cxrd.errors import ConfigError
from cxrd.settings import file_of, load


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.command()(init)
    app.command()(check)


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("config/cxrd.toml"),
    pacs: Annotated[str, typer.Option("--pacs", help="A PACS that sends and receives: AETITLE@HOST:PORT.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,  # noqa: FBT002 - a flag is what typer makes of it
) -> None:
    """Write a commented configuration with every key, its default and unit.

    Example: cxrd init /etc/cxrd/cxrd.toml --pacs PACS@10.1.2.3:104
    """
    from cxrd.service import template  # noqa: PLC0415 - `cxrd studies ls` should not pay for it

    template.write(path, destination_of("--pacs", pacs) if pacs else None, replace=force)
    typer.echo(f"{path} is written; next: cxrd check --config {path}")


def check(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Look at everything the node needs, one line each, and say what to do about what is not ok.

    Exit code 0: nothing failed (warnings may stand); 1: something failed; 2: the configuration cannot be read.

    Example: cxrd check --config config/cxrd.toml
    """
    from cxrd.service import inspection  # noqa: PLC0415 - as in init

    try:
        found, unusable = inspection.inspect(load(config), str(file_of(config) or "defaults")), 0
    except ConfigError as error:
        found, unusable = [inspection.refused(error)], 2
    lines = [{**c._asdict(), "state": c.state, "todo": "" if c.state == "ok" else c.todo} for c in found]
    printing.rows("cxrd check", ("state", "name", "found", "todo"), lines, as_json=as_json)
    if code := unusable or int(any(not c.ok for c in found)):
        raise typer.Exit(code)
