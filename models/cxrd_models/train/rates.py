"""Tries learning rates from far too small to far too large, and says which ones learn fastest."""

from __future__ import annotations

import csv
import math
from typing import NamedTuple

import numpy as np
from rich.table import Table

from cxrd_models.errors import DivergedError, RecipeError
from cxrd_models.recipe import Phase, Recipe
from cxrd_models.train.order import batches
from cxrd_models.train.prepare import Start, prepare
from cxrd_models.train.state import Position
from cxrd_models.train.step import Stepper
from cxrd_models.train.watch import Watch

STEPS = 80
SPAN = (1e-3, 1e2)
"""Least and greatest multiple of the recipe's own rates that is tried."""
_SMOOTH = 0.9
_DIVERGED = 4.0
"""Multiple of the least loss from which a try has failed."""


class Rates(NamedTuple):
    """What was tried.

    Attributes
    ----------
    phase : Phase
        Whose rates were multiplied.
    factor, loss : tuple of float
        Multiples of these rates, and the smoothed loss after a step at each.
    best : float
        The multiple at which the loss falls fastest.
    """

    phase: Phase
    factor: tuple[float, ...]
    loss: tuple[float, ...]
    best: float


def find_rates(recipe: Recipe, start: Start, phase_name: str, watch: Watch) -> Rates:
    """Run the range test (arXiv 1506.01186) on a phase; writes ``rates.csv``, and keeps no weights.

    Raises
    ------
    RecipeError
        No such phase.
    CxrdError
        As training.
    """
    phase = next((p for p in recipe.phases if p.name == phase_name), None)
    if phase is None:
        known = ", ".join(p.name for p in recipe.phases)
        raise RecipeError(f"the recipe has no phase {phase_name}", hint=f"it has: {known}")
    job, _ = prepare(recipe, start, watch)
    stepper, position = Stepper(job, phase), Position()
    order = batches(job, phase, position)
    job.model.train()
    factors: list[float] = []
    losses: list[float] = []
    smooth = 0.0
    with watch.bar("trying rates", STEPS * phase.batch) as bar:
        for number, factor in enumerate(np.geomspace(*SPAN, STEPS)):
            for group in stepper.optimiser.param_groups:
                group["lr"] = group["peak"] * float(factor)
            try:
                loss = stepper.step(Position(step=number), order[number % len(order)], of=STEPS)
            except DivergedError:
                break
            smooth = _SMOOTH * smooth + (1 - _SMOOTH) * loss
            factors.append(float(factor))
            losses.append(smooth / (1 - _SMOOTH ** (number + 1)))
            if losses[-1] > _DIVERGED * min(losses):
                break
            bar.advance(phase.batch)
    with (start.out / "rates.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("factor", "loss"), *zip(factors, losses, strict=True)])
    return Rates(phase, tuple(factors), tuple(losses), steepest(factors, losses))


def steepest(factors: list[float], losses: list[float]) -> float:
    """Return the factor where the loss falls fastest over the logarithm of the factor."""
    if len(losses) < 3:
        return math.nan
    slope = np.gradient(np.asarray(losses), np.log(np.asarray(factors)))
    return factors[int(slope.argmin())]


def rates_table(found: Rates) -> Table:
    """Tell the rates of the recipe and the ones that learn fastest."""
    table = Table("parameters", "recipe's rate", "learns fastest", title=f"Rates of phase {found.phase.name}")
    for pattern, rate in found.phase.rates.items():
        table.add_row(pattern, f"{rate:.2g}", f"{rate * found.best:.2g}" if rate else "frozen")
    return table
