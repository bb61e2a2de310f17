"""``cxrd train`` and ``cxrd export``; the daemon's command line hands these over when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from cxrd_models.console import told
from cxrd_models.dataset.command import app as dataset_app
from cxrd_models.evaluate.command import Options, evaluate_package, figures_table
from cxrd_models.export.package import export_run
from cxrd_models.export.precision import Precision
from cxrd_models.recipes import read_recipe
from cxrd_models.sweep.picture import draw, trials_table
from cxrd_models.sweep.search import sweep as search
from cxrd_models.sweep.space import grid_axis, range_axis
from cxrd_models.train.curves import LOG
from cxrd_models.train.initial import parse
from cxrd_models.train.prepare import Start
from cxrd_models.train.rates import find_rates, rates_table
from cxrd_models.train.run import train as train_recipe
from cxrd_models.train.watch import Watch

app = typer.Typer(help="Make model packages.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(dataset_app, name="dataset")


Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change the recipe: phases.0.batch=16, model.k=3, seed=1.")
]
Cache = Annotated[Path | None, typer.Option(help="Keep decoded films in this folder, for the next run.")]


@app.command()
def train(  # noqa: PLR0913 - one argument for each option of the command
    recipe: Annotated[str, typer.Argument(help="Name of a recipe in config/train, or a path to a .toml.")],
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its films.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log, calibration.")],
    init: Annotated[str, typer.Option(help="Backbone from: random, imagenet, chexnet:PATH, or PATH.")] = "random",
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    changes: Changes = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files to OUT/tensorboard.")] = False,
    find_rate: Annotated[str, typer.Option(help="Train nothing: try rates for this phase, and say which fits.")] = "",
    cache: Cache = None,
    package: Annotated[Path | None, typer.Option(help="Export the finished run into this folder of packages.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 lets torch decide.")] = 0,
) -> None:
    """Train a classifier; several processes share one run under torchrun.

    Example: cxrd train charm --data films --out runs/charm --init mobilenet_v2.pth

    Example: torchrun --standalone --nproc-per-node 2 --no-python cxrd train charm --data films --out runs/charm
    """
    if threads:
        torch.set_num_threads(threads)
    with told() as console:
        asked = read_recipe(recipe, changes or ())
        start = Start(data, out, parse(init), resume, recipe, cache, tensorboard, tuple(changes or ()))
        out.mkdir(parents=True, exist_ok=True)
        if find_rate:
            Console().print(rates_table(find_rates(asked, start, find_rate, Watch(console=console))))
        else:
            wrote = train_recipe(asked, start, Watch(out / LOG, console))
            if package and wrote:
                typer.echo(export_run(out, package, data, Watch(console=console)))


@app.command()
def sweep(  # noqa: PLR0913 - one argument for each option of the command
    recipe: Annotated[str, typer.Argument(help="Name of a recipe in config/train, or a path to a .toml.")],
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its films.")],
    out: Annotated[Path, typer.Option(help="Folder of the search: a run in each subfolder, sweep.csv, sweep.png.")],
    *,
    grid: Annotated[list[str] | None, typer.Option(help="Values to try: model.k=2,3,4.")] = None,
    ranges: Annotated[
        list[str] | None, typer.Option("--range", help="Bounds to draw from: seed=1:9, x=log:a:b.")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="Runs in all; 0 walks the whole grid.")] = 0,
    prune: Annotated[bool, typer.Option("--prune", help="Stop runs that are worse than most were.")] = False,
    init: Annotated[str, typer.Option(help="As for train.")] = "random",
    changes: Changes = None,
    cache: Cache = None,
) -> None:
    """Search settings of a recipe by validation score; the same command goes on with an interrupted search.

    Example: cxrd sweep charm --data films --out runs/k --grid model.momentum=0.99,0.999 --grid model.k=2,3,4,5
    """
    with told() as console:
        start = Start(data, out, parse(init), resume=False, recipe=recipe, cache=cache)
        axes = [*map(grid_axis, grid or ()), *map(range_axis, ranges or ())]
        found = search(read_recipe(recipe, changes or ()), start, axes, trials, Watch(console=console), prune=prune)
        draw(out, found)
        Console().print(trials_table(found))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder of packages; <id>/<version> is made in it.")],
    data: Annotated[Path | None, typer.Option(help="Where the run's films lie now, if they moved.")] = None,
    precision: Annotated[Precision, typer.Option(help="fp16 for a GPU; int8 for transformers on a CPU.")] = "fp32",
    *,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One graph of an ensemble's two, for other runtimes.")
    ] = False,
) -> None:
    """Turn a run into a model package, checked and judged on the test split.

    Example: cxrd export runs/charm --out models/starter
    """
    with told() as console:
        typer.echo(export_run(run, out, data, Watch(console=console), precision, single_file=single_file))


@app.command()
def evaluate(  # noqa: PLR0913 - one argument for each option of the command
    package: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its films.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, tables, pictures and report.html.")],
    *,
    split: Annotated[str, typer.Option(help="Films to judge on: test, val or train.")] = "test",
    tta: Annotated[bool, typer.Option("--tta", help="Judge each film mirrored too, and average.")] = False,
    against: Annotated[Path | None, typer.Option(help="Another package to compare with, on the same films.")] = None,
    panels: Annotated[int, typer.Option(min=0, help="Pictures of films called right, and of films called wrong.")] = 6,
    batch: Annotated[int, typer.Option(min=1, help="Films judged at once.")] = 16,
    films: Annotated[int, typer.Option(min=0, help="Judge so many, drawn by chance; 0 judges all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of a table.")] = False,
) -> None:
    """Judge a package on labelled films.

    Example: cxrd evaluate models/starter/charm/1.1.0 --data films --out evaluation
    """
    with told() as console:
        options = Options(split=split, tta=tta, against=against, panels=panels, batch=batch, films=films)
        found = evaluate_package(package, data, out, Watch(console=console), options)
        if as_json:
            typer.echo(found.model_dump_json(indent=1))
        else:
            Console().print(figures_table(found))  # the answer is for stdout, progress for stderr
        if not found.own_data:
            console.print("not the data set that the package was made from: it must not have learnt from these films")
        console.print(f"the whole report: {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)
