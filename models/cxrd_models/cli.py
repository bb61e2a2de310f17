"""``cxrd train`` and ``cxrd export``; the daemon's command line hands these over when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape

from cxrd.errors import CxrdError
from cxrd_models.errors import StoppedError
from cxrd_models.evaluate.command import evaluate_package, figures_table
from cxrd_models.export.package import export_run
from cxrd_models.recipe import read_recipe
from cxrd_models.train.run import Start
from cxrd_models.train.run import train as train_recipe
from cxrd_models.train.watch import Watch

app = typer.Typer(help="Make model packages.", no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe in config/train, or a path to a .toml.")],
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its films.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log, calibration.")],
    init: Annotated[Path | None, typer.Option(help="Published backbone weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,  # noqa: FBT002
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 lets torch decide.")] = 0,
) -> None:
    """Train a classifier.

    Example: cxrd train charm --data films --out runs/charm --init mobilenet_v2.pth
    """
    if threads:
        torch.set_num_threads(threads)
    with _told(Console(stderr=True)) as console:
        start = Start(data, out, init, resume, recipe)
        log = out / "log.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        train_recipe(read_recipe(recipe), start, Watch(log, console))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder of packages; <id>/<version> is made in it.")],
    data: Annotated[Path | None, typer.Option(help="Where the run's films lie now, if they moved.")] = None,
) -> None:
    """Turn a run into a model package, checked and judged on the test split.

    Example: cxrd export runs/charm --out models/starter
    """
    with _told(Console(stderr=True)) as console:
        typer.echo(export_run(run, out, data, Watch(console=console)))


@app.command()
def evaluate(
    package: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its films; the test split is used.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and predictions.csv.")],
) -> None:
    """Judge a package on labelled films.

    Example: cxrd evaluate models/starter/charm/1.0.0 --data films --out evaluation
    """
    with _told(Console(stderr=True)) as console:
        found = evaluate_package(package, data, out, Watch(console=console))
        Console().print(figures_table(found))  # the answer is for stdout, progress for stderr


@contextmanager
def _told(console: Console) -> Iterator[Console]:
    """Say an expected error in one line: exit code 2, or 1 for a run that was stopped on request."""
    try:
        yield console
    except StoppedError as stop:
        console.print(str(stop), highlight=False, soft_wrap=True)
        raise typer.Exit(1) from stop
    except CxrdError as fault:
        console.print(f"[bold red]error[/]: {escape(str(fault))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from fault
