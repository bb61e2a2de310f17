"""Which parameters learn, how fast, and how the rate moves over a phase."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase

import torch
from torch import nn

from cxrd_models.errors import RecipeError
from cxrd_models.recipe import Phase
from cxrd_models.train.state import Position
from cxrd_models.zoo.contract import ChestClassifier

_DIV_START, _DIV_END = 25.0, 1e4  # one-cycle's usual start and end below its peak


def optimiser_for(model: ChestClassifier, phase: Phase) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that the phase's patterns name; others, and those of rate 0, are frozen.

    Norms and biases do not decay. Each group remembers its peak rate as ``peak``.

    Raises
    ------
    RecipeError
        A pattern that matches no parameter: a recipe for another architecture; or nothing learns.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        pattern = next((p for p in phase.rates if fnmatchcase(name, p)), None)
        learns = pattern is not None and phase.rates[pattern] > 0 and not name.startswith(model.followers)
        parameter.requires_grad_(learns)
        if learns and pattern is not None:
            groups.setdefault((pattern, parameter.ndim > 1), []).append(parameter)
    idle = [p for p, rate in phase.rates.items() if rate and not any(key[0] == p for key in groups)]
    if idle:
        raise RecipeError(f"phase {phase.name}: {', '.join(idle)} matches no parameter of this model")
    if not groups:
        raise RecipeError(
            f"phase {phase.name}: nothing learns, every rate is 0", hint="for example rates.'head.*' = 1e-3"
        )
    chosen = [
        {
            "params": parameters,
            "lr": phase.rates[pattern],
            "peak": phase.rates[pattern],
            "weight_decay": phase.weight_decay if decays else 0.0,
        }
        for (pattern, decays), parameters in groups.items()
    ]
    match phase.optimiser:
        case "sgd":
            return torch.optim.SGD(chosen, momentum=phase.momentum, nesterov=phase.momentum > 0)
        case "adam":
            return torch.optim.Adam(chosen)
        case _:
            return torch.optim.AdamW(chosen)


def set_rate(optimiser: torch.optim.Optimizer, phase: Phase, position: Position, progress: float) -> None:
    """Put every group at its rate for ``progress`` 0..1 of the phase, never below the phase's least rate."""
    factor = rate_factor(phase, position, progress)
    for group in optimiser.param_groups:
        group["lr"] = max(group["peak"] * factor, min(phase.min_rate, group["peak"]))


def rate_factor(phase: Phase, position: Position, progress: float) -> float:
    """Share of the peak rate at ``progress`` 0..1."""
    match phase.schedule:
        case "constant":
            return 1.0
        case "step":
            return float(phase.factor ** (position.epoch // phase.step_epochs))
        case "plateau":
            return float(phase.factor**position.lowered)
        case "onecycle":
            rise, start, end = 0.3, 1 / _DIV_START, 1 / _DIV_END
        case _:
            rise, start, end = phase.warmup, 0.0, 0.01
    if progress < rise:
        climbed = progress / rise
        return start + (1 - start) * (_cosine(climbed) if phase.schedule == "onecycle" else climbed)
    return 1 + (end - 1) * _cosine((progress - rise) / (1 - rise))


def _cosine(x: float) -> float:
    """0 at 0, 1 at 1, flat at both ends."""
    return (1 - math.cos(math.pi * min(max(x, 0.0), 1.0))) / 2
