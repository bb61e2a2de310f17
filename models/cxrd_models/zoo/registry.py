"""Builds an architecture by the names in a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError

from cxrd_models.errors import RecipeError
from cxrd_models.zoo.charm import Charm
from cxrd_models.zoo.charm_parts import CharmOptions
from cxrd_models.zoo.contract import ChestClassifier

Build = Callable[[tuple[str, ...], tuple[float, ...], Mapping[str, Any]], ChestClassifier]


def _charm_small(
    classes: tuple[str, ...], prevalence: tuple[float, ...], options: Mapping[str, Any]
) -> ChestClassifier:
    return Charm(classes, prevalence, CharmOptions.model_validate(options))


_BUILDS: Mapping[tuple[str, str], Build] = {("charm", "small"): _charm_small}


def build(
    architecture: str,
    size: str,
    classes: tuple[str, ...],
    prevalence: tuple[float, ...],
    *,
    options: Mapping[str, Any],
    seed: int,
) -> ChestClassifier:
    """Return a freshly initialised model; equal arguments give equal weights.

    Raises
    ------
    RecipeError
        Unknown architecture, size or option.
    """
    make = _BUILDS.get((architecture, size))
    if make is None:
        known = ", ".join(f"{a} {s}" for a, s in _BUILDS)
        raise RecipeError(f"there is no architecture {architecture!r} of size {size!r}", hint=f"known: {known}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return make(classes, prevalence, options)
        except ValidationError as fault:
            faults = "; ".join(f"model.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
            raise RecipeError(faults) from fault
