"""What a model saw and said when it was judged: the distributions that later films are held against.

A package carries the answers on its test films (``evaluation/predictions.csv``, a column ``p_<class>`` for each
class) and, where it was exported since they exist, statistics of what it was fed
(``evaluation/inputs.csv``). The distance is the population stability index

    PSI = sum over bins of (q - p) ln(q / p)

over ten bins that hold equal shares p of the reference (Siddiqi, Credit Risk Scorecards, 2006: below 0.1 the
same population, above 0.25 another one). Half a film is added to each bin, so that an empty one is no infinity.
Of n new and m reference films of one population it is about 9 (1/n + 1/m), which is why few films tell nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import PackageError
from cxrd.inference.manifest import Manifest
from cxrd.inference.packages import AGAIN

SCORES, INPUTS = "evaluation/predictions.csv", "evaluation/inputs.csv"
STATISTICS = ("brightness", "contrast")
_BINS = 10


@dataclass(frozen=True, slots=True)
class Reference:
    """Values on a package's test films.

    Attributes
    ----------
    scores : Mapping from class to float64 (films,)
        Probabilities, 0..1; empty for a package without predictions.
    inputs : Mapping from statistic to float64 (films,)
        Empty for a package without them.
    """

    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    inputs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def statistics(image: NDArray[np.float32]) -> dict[str, float]:
    """Mean and standard deviation of what a model is fed, 0..1."""
    return {"brightness": float(image.mean()), "contrast": float(image.std())}


def read_reference(folder: Path, manifest: Manifest) -> Reference:
    """Read a package's reference; a part that the package does not carry is empty.

    Raises
    ------
    PackageError
        A file is not that of the manifest, or its columns are no numbers.
    """
    scores, inputs = columns(folder, manifest, SCORES), columns(folder, manifest, INPUTS)
    named = {c.id: scores[f"p_{c.id}"] for c in manifest.classes if f"p_{c.id}" in scores}
    return Reference(_numbers(folder, named), _numbers(folder, {s: inputs[s] for s in STATISTICS if s in inputs}))


def columns(folder: Path, manifest: Manifest, name: str) -> dict[str, list[str]]:
    """Read a table of a package by its columns; empty where the package has no such file.

    Raises
    ------
    PackageError
        The file cannot be read, or is not that of the manifest.
    """
    expected = manifest.files.get(name)
    if expected is None:
        return {}
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise PackageError(f"{folder / name} cannot be read: {error.strerror}", hint=AGAIN) from error
    if sha256(data).hexdigest() != expected:
        raise PackageError(f"{folder / name} is not the file of the manifest", hint=AGAIN)
    rows = list(csv.DictReader(StringIO(data.decode())))
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}


def _numbers(folder: Path, columns: Mapping[str, list[str]]) -> dict[str, NDArray[np.float64]]:
    try:
        return {name: np.array([float(text) for text in column]) for name, column in columns.items()}
    except ValueError as error:
        raise PackageError(f"the reference of {folder} is no table of numbers: {error}", hint=AGAIN) from None


def psi(reference: NDArray[np.float64], values: Sequence[float]) -> float:
    """Return the population stability index of new values against the reference, >= 0.

    Parameters
    ----------
    reference : float64 (m,)
        At least one value.
    values : sequence of float
        At least one value.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    p, q = (_shares(edges, np.asarray(x, np.float64)) for x in (reference, values))
    return float(((q - p) * np.log(q / p)).sum())


def _shares(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
    return np.asarray(counts / counts.sum())
