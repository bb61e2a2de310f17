"""What a search varies: values to try one by one, or ranges to draw from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cxrd.findings import Value
from cxrd_models.errors import RecipeError
from cxrd_models.recipes import parse_change

_BOUNDS = 2


class Axis(Value):
    """One setting of a recipe.

    Attributes
    ----------
    path : str
        Where in the recipe, as ``--set`` writes it.
    values : tuple
        What to try; empty for a range.
    low, high : float
        Bounds of a range.
    log : bool
        Draw evenly over the logarithm.
    whole : bool
        Draw whole numbers.
    """

    path: str
    values: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False


def grid_axis(text: str) -> Axis:
    """Read ``model.k=2,3,4,5``.

    Raises
    ------
    RecipeError
        No value, or no ``=``.
    """
    path, sign, listed = text.partition("=")
    values = tuple(parse_change(f"x={word}")[1] for word in listed.split(",") if word.strip())
    if not sign or not values:
        raise RecipeError(f"--grid {text!r} names nothing to try", hint="for example --grid model.k=2,3,4")
    return Axis(path=path.strip(), values=values)


def range_axis(text: str) -> Axis:
    """Read ``seed=1:9``, ``model.dropout=0.1:0.5`` or ``phases.0.weight_decay=log:1e-4:1e-1``.

    Raises
    ------
    RecipeError
        Not two bounds in order, or a logarithm of what is not positive.
    """
    path, sign, rest = text.partition("=")
    log = rest.startswith("log:")
    parts = rest.removeprefix("log:").split(":")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        low, high = 1.0, 0.0
    if not sign or not low < high or (log and low <= 0):
        raise RecipeError(f"--range {text!r} is no range", hint="for example --range model.dropout=0.1:0.5, or log:…")
    whole = len(parts) == _BOUNDS and all(part.strip().lstrip("-").isdigit() for part in parts)
    return Axis(path=path.strip(), low=low, high=high, log=log, whole=whole)


def size_of(axes: Sequence[Axis]) -> int:
    """Return the number of points of a grid; 0 where a range is among the axes."""
    return math.prod(len(axis.values) for axis in axes)
