"""Recipes: everything that decides a training run, as one frozen value read from TOML."""

from __future__ import annotations

import sysconfig
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from cxrd.findings import Value
from cxrd.inference.manifest import IntendedUse
from cxrd_models.errors import RecipeError


class PreprocessRecipe(Value):
    """Which preprocessing of ``cxrd.imaging.preprocess`` the model sees, in training and in service."""

    id: str = "plain"
    height: int = Field(224, ge=32)
    width: int = Field(224, ge=32)


class AugmentRecipe(Value):
    """Random changes of a training film; each figure is the largest change, 0 switches it off.

    Attributes
    ----------
    rotation : float
        Degrees to either side.
    scale, shift : float
        Relative size and position, e.g. 0.1 = 90 to 110 %.
    flip : float
        Probability of a left-right flip; off, because it moves the heart to the wrong side.
    contrast, brightness : float
        Relative contrast, absolute brightness of the 0..1 scale.
    blur : float
        Probability of losing detail by a smaller copy, so that source resolution tells nothing.
    blur_sizes : tuple of int
        Smallest and largest side, pixels, of that copy.
    """

    rotation: float = Field(0, ge=0, le=45)
    scale: float = Field(0, ge=0, lt=1)
    shift: float = Field(0, ge=0, lt=1)
    flip: float = Field(0, ge=0, le=1)
    contrast: float = Field(0, ge=0, lt=1)
    brightness: float = Field(0, ge=0, lt=1)
    blur: float = Field(0, ge=0, le=1)
    blur_sizes: tuple[int, int] = (56, 112)


class Phase(Value):
    """One stretch of training with its own trainable parts, rates and loss.

    Attributes
    ----------
    rates : dict of str to float
        Peak learning rate by parameter-name pattern (``backbone.features.1[5-8].*``); the first pattern
        that matches decides, a parameter that none matches is frozen.
    patience : int
        Epochs without a better score before the phase ends early; 0 never.
    """

    name: str
    epochs: int = Field(ge=1)
    batch: int = Field(32, ge=2)
    rates: dict[str, float]
    weight_decay: float = Field(0.01, ge=0)
    loss: Literal["bce", "asymmetric"] = "bce"
    gamma_negative: float = Field(4, ge=0)
    gamma_positive: float = Field(1, ge=0)
    clip: float = Field(0.05, ge=0, lt=1)
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    patience: int = Field(0, ge=0)


class GuardRecipe(Value):
    """Protection against labels that only tell the source of a film.

    Attributes
    ----------
    min_source_positives : int
        A class is learnt and monitored only on sources with at least this many positive training films:
        elsewhere its absence says where the film came from, not what it shows.
    coarsest_side : int
        Side, pixels, of the coarsest source; the card also tells the AUROC with every film reduced to it.
        0 when all sources are alike.
    """

    min_source_positives: int = Field(0, ge=0)
    coarsest_side: int = Field(0, ge=0)


class ReportRecipe(Value):
    """When a class may be reported: fewer positive films than these cannot support a threshold or a claim."""

    min_train: int = Field(15, ge=0)
    min_val: int = Field(5, ge=0)
    min_test: int = Field(5, ge=0)


class Recipe(Value):
    """A training run's decisions; the digest of this value is in the run and in the package.

    Attributes
    ----------
    ema : float
        Share of the average of weights kept at each step; 0 keeps the last weights instead.
    monitor : {"mean", "weighted"}
        How the AUROCs of the classes on validation become the one score that chooses an epoch: each class
        alike, or by its positive films, which is steadier where some have few.
    remarks : tuple of str
        What a reader of the card must know and the figures do not tell.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    title: str
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    architecture: str
    size: str
    task: str
    seed: int = 0
    ema: float = Field(0, ge=0, lt=1)
    monitor: Literal["mean", "weighted"] = "weighted"
    data_licence: str
    remarks: tuple[str, ...] = ()
    preprocess: PreprocessRecipe = PreprocessRecipe()
    model: dict[str, Any] = Field(default_factory=dict)
    augment: AugmentRecipe = AugmentRecipe()
    guard: GuardRecipe = GuardRecipe()
    report: ReportRecipe = ReportRecipe()
    use: IntendedUse
    phases: tuple[Phase, ...] = Field(min_length=1)

    @property
    def grid(self) -> tuple[int, int]:
        """Input rows and columns."""
        return self.preprocess.height, self.preprocess.width


def recipe_folder() -> Path:
    """Where recipes lie: ``config/train`` of a checkout, else beside the installed package's data."""
    checkout = Path(__file__).resolve().parents[2] / "config" / "train"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / "share" / "cxrd" / "train"


def read_recipe(name: str) -> Recipe:
    """Read a recipe by the name of a file in ``config/train`` or by its path.

    Raises
    ------
    RecipeError
        No such recipe, or its content is not a recipe; every fault is listed.
    """
    path = Path(name) if name.endswith(".toml") else recipe_folder() / f"{name}.toml"
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in recipe_folder().glob("*.toml"))) or "none"
        raise RecipeError(f"there is no recipe {name}", hint=f"known: {known}; or give a .toml path") from None
    except tomllib.TOMLDecodeError as fault:
        raise RecipeError(f"{path} is not TOML: {fault}") from fault
    except ValidationError as fault:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise RecipeError(f"{path}: {faults}", hint="see config/train for complete examples") from fault
