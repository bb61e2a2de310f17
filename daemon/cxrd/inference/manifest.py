"""``manifest.json``: everything the daemon must know of a model before it loads its graph.

A package is self-contained: classes carry their codes, thresholds and roles, so that a report of last year
can still be understood when the vocabulary has moved on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

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
    if not re.fullmatch(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}", text):  # one spelling for one version
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
        Raw peak below which there is no localisation; maps of an ensemble sum to 1, an even one is 1 / cells.
    """

    kind: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    per_class: bool
    box_threshold: float = Field(0.4, ge=0, lt=1)
    min_peak: FiniteFloat = 0.0

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.height, self.width


class GateSpec(Value):
    """A second graph that is asked where the first is unsure.

    Attributes
    ----------
    graph : str
        File of the second graph.
    threshold : float
        The first graph answers alone where its strongest class reaches this, 0..1: 0 never asks the second, 1
        always does, but where the first says exactly 1.
    weight : float
        Share of the first graph in a blend, 0..1.
    """

    graph: str
    threshold: Unit
    weight: Unit


class Calibration(Value):
    """What the graph applies before ``probs``: ``activation(logits * scale + bias)``; for the record only."""

    scale: tuple[FiniteFloat, ...]
    bias: tuple[FiniteFloat, ...]


class IntendedUse(Value):
    """Films that the model may answer for.

    Attributes
    ----------
    views : tuple of str
        Projections it was trained on.
    sexes : tuple of {"F", "M"}
        Of the patients it is for.
    min_age_years, max_age_years : float or None
        Patient's age at the examination, both inclusive.
    text : str
        One sentence for a person.
    """

    views: tuple[Literal["PA", "AP"], ...] = Field(min_length=1)
    sexes: tuple[Literal["F", "M"], ...] = Field(("F", "M"), min_length=1)
    min_age_years: FiniteFloat | None = None
    max_age_years: FiniteFloat | None = None
    text: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.min_age_years, self.max_age_years
        if low is not None and high is not None and low > high:
            msg = f"min_age_years {low:g} is above max_age_years {high:g}"
            raise ValueError(msg)
        return self


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

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    n: int


class Manifest(Value):
    """The whole file.

    Attributes
    ----------
    task : {"binary", "multiclass", "multilabel"}
        ``binary``: one class (sigmoid) or two that exclude each other (softmax). ``multiclass``: two or more
        that exclude each other. ``multilabel``: each class for itself (sigmoid).
    classes : tuple of ModelClass
        In the order of the graph's outputs.
    inputs : tuple of str
        Names of the inputs of every graph: ``image``, then ``mask`` for lungs of the same shape.
    gate : GateSpec or None
        Of an ensemble of two graphs whose classes exclude each other.
    metrics : dict of str to Metric
        By name, e.g. ``auroc_Effusion``.
    files : dict of str to str
        Every other file of the package, relative, and its sha256 (hex).
    """

    schema_version: Literal[1]
    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    version: Version
    title: str
    task: Literal["binary", "multiclass", "multilabel"]
    classes: tuple[ModelClass, ...] = Field(min_length=1)
    preprocess: Preprocess
    inputs: tuple[Literal["image", "mask"], ...] = ("image",)
    heat: HeatSpec | None = None
    gate: GateSpec | None = None
    calibration: Calibration | None = None
    intended_use: IntendedUse
    training: Training
    metrics: dict[str, Metric]
    opset: int
    files: dict[str, Digest]

    @property
    def exclusive(self) -> bool:
        """Whether the classes exclude each other, so that a film's probabilities sum to 1."""
        return self.task != "multilabel" and len(self.classes) > 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [c.id for c in self.classes]
        doubled = sorted({n for n in names if names.count(n) > 1})
        outside = [f for f in self.files if Path(f).is_absolute() or ".." in Path(f).parts]
        faults = [f"class {n} stands twice" for n in doubled]
        faults += [f"file {f} lies outside the package" for f in outside]
        least, most = {"binary": (1, 2), "multiclass": (2, len(names))}.get(self.task, (1, len(names)))
        if not least <= len(names) <= most:
            faults.append(f"a {self.task} model cannot have {len(names)} class(es)")
        scaled = self.calibration
        if scaled and (len(scaled.scale), len(scaled.bias)) != (len(names), len(names)):
            faults.append("calibration has not one scale and bias for each class")
        if GRAPH not in self.files:
            faults.append(f"files does not name {GRAPH}")
        if self.inputs not in {("image",), ("image", "mask")}:
            faults.append("inputs are image, or image and mask")
        faults += self._gate_faults()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _gate_faults(self) -> list[str]:
        if self.gate is None:
            return []
        faults = [] if self.exclusive else ["a gate needs classes that exclude each other"]
        if self.gate.graph not in self.files or self.gate.graph == GRAPH:
            faults.append(f"files does not name the gate's graph {self.gate.graph}")
        return faults
