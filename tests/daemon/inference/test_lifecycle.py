"""Which version answers: the configuration's word, else the database's, else the highest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Entry, Stage
from cxrd.inference.packages import choose
from support.packages import make_package


def entry(version: str, stage: Stage, model: str = "tiny") -> Entry:
    """A row of the database."""
    return Entry(model, version, f"digest of {version}", stage)


def stages(folder: Path, *entries: Entry, enabled: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """What is chosen, and in which stage."""
    return [(c.name, str(c.stage)) for c in choose(folder, enabled, entries)]


def test_the_highest_version_of_each_id_is_taken(tmp_path: Path) -> None:
    """1.10.0 is newer than 1.9.0."""
    for version in ("1.9.0", "1.10.0", "1.2.3"):
        make_package(tmp_path, version=version)
    make_package(tmp_path, id="other")
    assert ["other@1.0.0", "tiny@1.10.0"] == [c.name for c in choose(tmp_path)]


def test_a_version_can_be_pinned(tmp_path: Path) -> None:
    """``id@version`` keeps a node on a version while a newer one lies beside it."""
    for version in ("1.0.0", "2.0.0"):
        make_package(tmp_path, version=version)
    assert ["1.0.0"] == [c.version for c in choose(tmp_path, ["tiny@1.0.0"])]


def test_enabled_models_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """The first model named is the first in a report."""
    for name in ("alpha", "beta"):
        make_package(tmp_path, id=name)
    assert ["beta", "alpha"] == [c.model for c in choose(tmp_path, ["beta", "alpha"])]


def test_one_model_in_two_versions_is_an_error(tmp_path: Path) -> None:
    """Two answers under one name could not be told apart."""
    for version in ("1.0.0", "2.0.0"):
        make_package(tmp_path, version=version)
    with pytest.raises(PackageError, match="tiny twice"):
        choose(tmp_path, ["tiny@1.0.0", "tiny@2.0.0"])


def test_an_unfinished_export_is_not_seen(tmp_path: Path) -> None:
    """A folder whose name begins with a dot is still being written."""
    make_package(tmp_path)
    make_package(tmp_path, version="2.0.0").rename(tmp_path / "tiny" / ".2.0.0")
    assert ["1.0.0"] == [c.version for c in choose(tmp_path)]


@pytest.mark.parametrize("wanted", ["nothing", "tiny@9.9.9", "tiny@1.0", "tiny@latest"])
def test_a_package_that_is_not_there_is_named(tmp_path: Path, wanted: str) -> None:
    """The error says what is there instead."""
    make_package(tmp_path)
    with pytest.raises(PackageError, match=r"tiny@1\.0\.0"):
        choose(tmp_path, [wanted])


def test_the_database_decides_between_versions(tmp_path: Path) -> None:
    """A higher version that was only put there does not answer; a shadow stands behind the one that does."""
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        make_package(tmp_path, version=version)
    rows = (entry("1.0.0", Stage.ACTIVE), entry("2.0.0", Stage.SHADOW), entry("3.0.0", Stage.ADDED))
    assert [("tiny@1.0.0", "active"), ("tiny@2.0.0", "shadow")] == stages(tmp_path, *rows)
    assert ["digest of 1.0.0", "digest of 2.0.0"] == [c.digest for c in choose(tmp_path, (), rows)]


def test_a_pin_stands_above_the_database(tmp_path: Path) -> None:
    """Even a retired version answers where the configuration names it; its shadow goes on unless it is the same."""
    for version in ("1.0.0", "2.0.0"):
        make_package(tmp_path, version=version)
    rows = (entry("1.0.0", Stage.RETIRED), entry("2.0.0", Stage.SHADOW))
    assert [("tiny@1.0.0", "active"), ("tiny@2.0.0", "shadow")] == stages(tmp_path, *rows, enabled=("tiny@1.0.0",))
    assert [("tiny@2.0.0", "active")] == stages(tmp_path, *rows, enabled=("tiny@2.0.0",))


def test_a_model_that_was_only_added_does_not_answer(tmp_path: Path) -> None:
    """Nor does one that was taken out of service."""
    make_package(tmp_path)
    make_package(tmp_path, id="other")
    assert [("other@1.0.0", "active")] == stages(tmp_path, entry("1.0.0", Stage.ADDED))
    assert [] == stages(tmp_path, entry("1.0.0", Stage.RETIRED), enabled=("tiny",))


def test_an_active_package_that_has_vanished_is_still_asked_for(tmp_path: Path) -> None:
    """Another version must not slip into its place; loading it will say that it is gone."""
    make_package(tmp_path, version="2.0.0")
    assert [("tiny@1.0.0", "active")] == stages(tmp_path, entry("1.0.0", Stage.ACTIVE))


def test_starter_packages_follow_the_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A version that a newer release does not bring any more gives way to the one that it brings."""
    make_package(tmp_path, version="2.0.0")
    monkeypatch.setattr("cxrd.inference.packages.starter_folder", lambda: tmp_path)
    assert ["tiny@2.0.0"] == [c.name for c in choose(None, (), (entry("1.0.0", Stage.ACTIVE),))]
