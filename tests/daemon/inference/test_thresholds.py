"""A site's own operating points."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrd.errors import ConfigError
from cxrd.inference.packages import read_package
from cxrd.inference.thresholds import at_site, check_models
from cxrd.settings import Models, Settings
from support.packages import make_package


def test_a_threshold_is_moved_and_its_neighbours_are_not(tmp_path: Path) -> None:
    """And the note says who chose it."""
    manifest, _ = read_package(make_package(tmp_path))
    moved = {c.id: c for c in at_site(manifest, {"tiny": {"Effusion": 0.9}, "other": {"Effusion": 0.1}}).classes}
    assert (0.9, 0.5) == (moved["Effusion"].threshold, moved["Pneumonia"].threshold)
    assert "chosen by this site" in moved["Effusion"].note


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With those that are."""
    manifest, _ = read_package(make_package(tmp_path))
    with pytest.raises(ConfigError, match="no such class"):
        at_site(manifest, {"tiny": {"Effusoin": 0.9}})


def test_a_class_that_is_not_reported_stays_so(tmp_path: Path) -> None:
    """A site cannot turn on what no validation film supports."""
    manifest, _ = read_package(make_package(tmp_path))
    silent = manifest.model_copy(
        update={"classes": tuple(c.model_copy(update={"reported": False}) for c in manifest.classes)}
    )
    with pytest.raises(ConfigError, match="does not report"):
        at_site(silent, {"tiny": {"Effusion": 0.9}})


def test_a_model_that_is_not_loaded_is_named() -> None:
    """A typing error never leaves the package's own point in force unseen."""
    with pytest.raises(ConfigError, match="chram"):
        check_models({"chram": {}}, ["charm"])


def test_thresholds_shape_results() -> None:
    """Another threshold is another configuration digest, so that the report gets UIDs of its own."""
    assert Settings().digest() != Settings(models=Models(thresholds={"charm": {"Effusion": 0.3}})).digest()
