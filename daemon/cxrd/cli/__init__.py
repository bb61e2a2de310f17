"""The ``cxrd`` command: one file for each family of commands, one place for exit codes.

0 done · 1 it did not work, and the message says why · 2 the command or configuration is wrong.
"""

from __future__ import annotations

import sys

import typer

from cxrd import __version__
from cxrd.cli import audit, backfill, cache, explain, films, models, node, queue, reference, setup, training
from cxrd.errors import ConfigError, CxrdError

app = typer.Typer(
    name="cxrd",
    help="The chest X-ray AI node that stands beside a hospital's PACS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
setup.register(app)
node.register(app)
films.register(app)
queue.register(app)
audit.register(app)
explain.register(app)
backfill.register(app)
models.register(app)
cache.register(app)
training.register(app)
reference.register(app)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),  # noqa: FBT001
) -> None:
    """Take options that stand before a command."""


def main() -> None:
    """Run the command line and turn errors into a sentence and an exit code."""
    try:
        app()
    except ConfigError as error:
        print(f"cxrd: {error}", file=sys.stderr)  # noqa: T201 - a command line speaks on standard error
        sys.exit(2)
    except CxrdError as error:
        print(f"cxrd: {error}", file=sys.stderr)  # noqa: T201 - as above
        sys.exit(1)
