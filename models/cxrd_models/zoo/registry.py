"""Builds an architecture by the names in a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import ValidationError

from cxrd_models.errors import RecipeError
from cxrd_models.zoo import charm, cnn_transformer, deit_scm, film_content, hybrid_lung_vit, medconvformer
from cxrd_models.zoo.contract import ChestClassifier, Request

Build = Callable[[Request], ChestClassifier]


_BUILDS: Mapping[tuple[str, str], Build] = {
    ("charm", "small"): charm.small,
    ("charm", "full"): charm.full,
    ("cnn_transformer", "small"): cnn_transformer.small,
    ("cnn_transformer", "full"): cnn_transformer.full,
    ("deit_scm", "small"): deit_scm.small,
    ("deit_scm", "full"): deit_scm.full,
    ("film_content", "small"): film_content.small,
    ("hybrid_lung_vit", "small"): hybrid_lung_vit.small,
    ("hybrid_lung_vit", "full"): hybrid_lung_vit.full,
    ("medconvformer", "small"): medconvformer.small,
    ("medconvformer", "full"): medconvformer.full,
}


def build(architecture: str, size: str, asked: Request, *, seed: int) -> ChestClassifier:
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
            return make(asked)
        except ValidationError as fault:
            faults = "; ".join(f"model.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
            raise RecipeError(faults) from fault
