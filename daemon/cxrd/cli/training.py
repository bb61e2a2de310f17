"""Commands of the trainer, handed over to ``cxrd_models`` when one is called.

This file holds the one line by which the daemon's package knows the trainer's; it runs only when a training
command is asked for, so that serving never imports torch.
"""

from __future__ import annotations

from importlib.util import find_spec

import typer

from cxrd.errors import ConfigError

COMMANDS = {
    "dataset": "Make labels.csv from films and tables, and check it. Example: cxrd dataset folder films/ --out data/",
    "train": "Train a model by a recipe. Example: cxrd train charm --data films/ --out runs/charm",
    "sweep": "Search settings of a recipe. Example: cxrd sweep charm --data films/ --out runs/k --grid model.k=2,3,4",
    "evaluate": "Judge a package on films. Example: cxrd evaluate models/mine/charm/1.0.1 --data films/ --out eval/",
    "export": "Export a training run as a model package. Example: cxrd export runs/charm --out models/mine",
}


def register(app: typer.Typer) -> None:
    """Add the trainer's commands; their options belong to the trainer."""
    for name, text in COMMANDS.items():
        app.command(
            name,
            help=text,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_hand_over)


def _hand_over(context: typer.Context) -> None:
    if find_spec("torch") is None:
        raise ConfigError("training needs PyTorch, which the daemon does not", hint="pip install 'cxrd[train]'")
    from cxrd_models.cli import app as trainer  # noqa: PLC0415 - the one lazy line (import contract "no-torch")

    trainer(args=[str(context.info_name), *context.args], prog_name="cxrd", standalone_mode=True)
