"""Commands over the cache of uploads."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from cxrd.cli import printing
from cxrd.cli.node import Config, Json
from cxrd.service.databases import existing
from cxrd.settings import load

if TYPE_CHECKING:
    from cxrd.store.memory import Cache

cache = typer.Typer(help="What models said of uploaded films.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.add_typer(cache, name="cache")


def _open(config: Config) -> Cache:
    from cxrd.store.memory import open_cache  # noqa: PLC0415 - other commands should not pay for arrays

    settings = load(config)
    return open_cache(settings, existing(settings.database.url), lambda text: typer.echo(text, err=True))


@cache.command("stats")
def stats(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag is what typer makes of it
    """Count the outputs that are remembered, and their bytes.

    Example: cxrd cache stats
    """
    printing.rows("Cache", ("where", "entries", "size"), [asdict(_open(config).kept())], as_json=as_json)


@cache.command("clear")
def clear(config: Config = None) -> None:
    """Forget every output; a film that is uploaded again is judged again.

    Example: cxrd cache clear
    """
    typer.echo(f"{_open(config).clear()} output(s) forgotten")
