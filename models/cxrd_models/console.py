"""How the trainer's commands speak: an expected error in one line, and the exit code that goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from cxrd.errors import CxrdError
from cxrd_models.errors import StoppedError


@contextmanager
def told() -> Iterator[Console]:
    """Say an expected error in one line: exit code 2, or 1 for a run that was stopped on request."""
    console = Console(stderr=True)
    try:
        yield console
    except StoppedError as stop:
        console.print(str(stop), highlight=False, soft_wrap=True)
        raise typer.Exit(1) from stop
    except OSError as fault:  # a disk that is full, a folder that is a file or somebody else's
        console.print(f"[bold red]error[/]: {escape(str(fault))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from fault
    except CxrdError as fault:
        console.print(f"[bold red]error[/]: {escape(str(fault))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from fault
