"""What a package was tested on, and how far new films are from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrd.errors import PackageError
from cxrd.inference.packages import read_package, starter_folder
from cxrd.inference.reference import psi, read_reference
from support.packages import make_package

REFERENCE = np.random.default_rng(1).beta(2, 5, 500)


def test_the_same_population_is_near_nothing() -> None:
    """About 9 (1/n + 1/m) of chance; half of the "moderate" mark at two hundred films."""
    same = np.random.default_rng(2).beta(2, 5, 500)
    assert psi(REFERENCE, list(same)) < 0.1


def test_a_shift_is_more_than_a_quarter() -> None:
    """Another scanner: everything is brighter."""
    assert psi(REFERENCE, list(np.clip(REFERENCE + 0.15, 0, 1))) > 0.25


def test_by_hand() -> None:
    """Ten bins, half a film added to each: 10.5 of 105 shares in the reference, 100.5 of 105 in one bin."""
    reference = np.arange(100) / 100
    found = psi(reference, [0.0] * 100)
    p, q = 10.5 / 105, np.array([100.5 / 105, 0.5 / 105])
    assert (q[0] - p) * np.log(q[0] / p) + 9 * (q[1] - p) * np.log(q[1] / p) == pytest.approx(found)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_it_is_never_negative_or_infinite(reference: list[float], values: list[float]) -> None:
    """Whatever the values, ties and empty bins included."""
    found = psi(np.array(reference), values)
    assert np.isfinite(found)
    assert found >= -1e-12


def test_a_starter_package_carries_its_answers() -> None:
    """Scores of each class, as many as test films."""
    folder = next(iter(sorted(starter_folder().glob("charm/*"))))
    manifest, _ = read_package(folder)
    reference = read_reference(folder, manifest)
    assert {c.id for c in manifest.classes} == set(reference.scores)
    assert {len(values) for values in reference.scores.values()} == {len(reference.scores["Effusion"])}


def test_a_package_without_answers_has_an_empty_reference(tmp_path: Path) -> None:
    """Nothing can be said of its drift, and nothing breaks."""
    folder = make_package(tmp_path)
    assert {} == read_reference(folder, read_package(folder)[0]).scores


def test_answers_that_were_changed_are_refused(tmp_path: Path) -> None:
    """What drift is held against is as sure as the model."""
    folder = make_package(tmp_path, papers={"evaluation/predictions.csv": b"file,p_Effusion\na,0.5\n"})
    manifest, _ = read_package(folder)
    (folder / "evaluation/predictions.csv").write_bytes(b"file,p_Effusion\na,0.1\n")
    with pytest.raises(PackageError, match="not the file"):
        read_reference(folder, manifest)
