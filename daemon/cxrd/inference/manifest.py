"""``manifest.json``: everything the daemon must know of a model before it loads its graph.

A package is self-contained: classes carry their codes, thresholds and roles, so that a report of last year
can still be understood when the vocabulary has moved on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cxrd.findings import ClassRole, Code, Value
from cxrd.imaging.preprocess import Preprocess

SCHEMA_VERSION = 1
GRAPH = "model.onnx"
MANIFEST = "manifest.json"


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        msg = "a sha256 is 64 lower-case hex digits"
        raise ValueError(msg)
    return text


def _semver(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        msg = "a version is MAJOR.MINOR.PATCH"
        raise ValueError(msg)
    return text


Digest = Annotated[str, AfterValidator(_sha256)]
Version = Annotated[str, AfterValidator(_semver)]
Unit = Annotated[float, Field(ge=0, le=1)]


class ModelClass(Value):
    """One output of a model.

    Attributes
    ----------
    id : str
        Name in the graph's order; the key of probabilities everywhere.
    threshold : float or None
        Operating point, 0..1; None where too few films were there to choose one.
    reported : bool
        False: the probability is recorded, but no report says present or absent.
    note : str
        Why a class is not reported, or how its threshold was chosen.
    """

    id: str
    role: ClassRole
    code: Code
    site: Code | None = None
    threshold: Unit | None
    reported: bool = True
    note: str = ""


class HeatSpec(Value):
    """The graph's ``heat`` output.

    Attributes
    ----------
    kind : str
        Recipe of the map, for the card and the report.
    height, width : int
        Grid of the map.
    per_class : bool
        One map for each class, or one for all.
    box_threshold : float
        Part of the peak above which a cell belongs to the box, 0..1.
    min_peak : float
        Raw peak below which there is no localisation.
    """

    kind: str
    height: int
    width: int
    per_class: bool
    box_threshold: Unit = 0.4
    min_peak: float = 0.0


class Calibration(Value):
    """What the graph applies before ``probs``: ``activation(logits * scale + bias)``; for the record only."""

    scale: tuple[float, ...]
    bias: tuple[float, ...]


class IntendedUse(Value):
    """Films that the model may answer for.

    Attributes
    ----------
    views : tuple of str
        Projections it was trained on.
    min_age_years, max_age_years : float or None
        Patient's age at the examination, both inclusive.
    text : str
        One sentence for a person.
    """

    views: tuple[Literal["PA", "AP"], ...]
    min_age_years: float | None = None
    max_age_years: float | None = None
    text: str


class Training(Value):
    """Where the weights come from.

    Attributes
    ----------
    recipe : str
        Name of the recipe file.
    recipe_digest, data_digest : str
        sha256 (hex) of the recipe and of the data manifest.
    films : int
        Films trained on.
    licence : str
        What the data's licences leave of the weights.
    """

    recipe: str
    recipe_digest: Digest
    data_digest: Digest
    films: int
    licence: str


class Metric(Value):
    """An estimate and its 95 % interval on the test split."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int


class Manifest(Value):
    """The whole file; ``files`` maps every other file of the package to its sha256 (hex)."""

    schema_version: Literal[1]
    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    version: Version
    title: str
    task: Literal["binary", "multiclass", "multilabel"]
    classes: tuple[ModelClass, ...] = Field(min_length=1)
    preprocess: Preprocess
    inputs: tuple[str, ...] = ("image",)
    heat: HeatSpec | None = None
    calibration: Calibration | None = None
    intended_use: IntendedUse
    training: Training
    metrics: dict[str, Metric]
    opset: int
    files: dict[str, Digest]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [c.id for c in self.classes]
        doubled = sorted({n for n in names if names.count(n) > 1})
        outside = [f for f in self.files if Path(f).is_absolute() or ".." in Path(f).parts]
        faults = [
            *(f"class {n} stands twice" for n in doubled),
            *([] if GRAPH in self.files else [f"files does not name {GRAPH}"]),
            *(f"file {f} lies outside the package" for f in outside),
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self
