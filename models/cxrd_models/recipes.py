"""Reads recipes from TOML, by name or path, and changes them as a command line asks."""

from __future__ import annotations

import sysconfig
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cxrd_models.errors import RecipeError
from cxrd_models.recipe import Recipe


def recipe_folder() -> Path:
    """Where recipes lie: ``config/train`` of a checkout, else beside the installed package's data."""
    checkout = Path(__file__).resolve().parents[2] / "config" / "train"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / "share" / "cxrd" / "train"


def read_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by the name of a file in ``config/train`` or by its path.

    Parameters
    ----------
    changes : sequence of str
        ``phases.0.batch=16`` and the like, see `parse_change`.

    Raises
    ------
    RecipeError
        No such recipe, or its content is not a recipe; every fault is listed.
    """
    path = Path(name) if name.endswith(".toml") else recipe_folder() / f"{name}.toml"
    try:
        recipe = Recipe.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in recipe_folder().glob("*.toml"))) or "none"
        raise RecipeError(f"there is no recipe {name}", hint=f"known: {known}; or give a .toml path") from None
    except tomllib.TOMLDecodeError as fault:
        raise RecipeError(f"{path} is not TOML: {fault}") from fault
    except ValidationError as fault:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise RecipeError(f"{path}: {faults}", hint="see config/train for complete examples") from fault
    return changed(recipe, dict(parse_change(text) for text in changes)) if changes else recipe


def parse_change(text: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``: a dotted path into a recipe, and a TOML value or a bare word.

    Raises
    ------
    RecipeError
        There is no ``=``.
    """
    path, sign, value = text.partition("=")
    if not sign:
        raise RecipeError(f"{text!r} changes nothing", hint="for example phases.0.batch=16")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values at dotted paths; a key with dots of its own stands in quotes at the end.

    Raises
    ------
    RecipeError
        A path that leads nowhere, or a value that does not fit; names it.
    """
    values = recipe.model_dump(mode="json")
    for path, value in changes.items():
        plain, _, quoted = path.partition('"')
        *steps, last = [*filter(None, plain.split(".")), *([quoted.removesuffix('"')] if quoted else [])]
        place: Any = values
        try:
            for step in steps:
                place = place[int(step) if isinstance(place, list) else step]
            place[int(last) if isinstance(place, list) else last] = value
        except (KeyError, IndexError, ValueError, TypeError) as fault:
            raise RecipeError(f"the recipe has no {path}", hint="for example phases.0.batch or model.k") from fault
    try:
        return Recipe.model_validate(values)
    except ValidationError as fault:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise RecipeError(faults, hint=f"from {', '.join(f'{k}={v}' for k, v in changes.items())}") from fault
