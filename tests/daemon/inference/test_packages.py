"""A package is what its manifest says, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxrd.errors import PackageError
from cxrd.inference.packages import find_packages, read_package, starter_folder
from support.packages import make_package


def test_the_highest_version_of_each_id_is_taken(tmp_path: Path) -> None:
    """1.10.0 is newer than 1.9.0."""
    for version in ("1.9.0", "1.10.0", "1.2.3"):
        make_package(tmp_path, version=version)
    make_package(tmp_path, id="other")
    assert ["other/1.0.0", "tiny/1.10.0"] == [f"{p.parent.name}/{p.name}" for p in find_packages(tmp_path)]


def test_a_version_can_be_pinned(tmp_path: Path) -> None:
    """``id@version`` keeps a node on a version while a newer one lies beside it."""
    for version in ("1.0.0", "2.0.0"):
        make_package(tmp_path, version=version)
    assert ["1.0.0"] == [p.name for p in find_packages(tmp_path, ["tiny@1.0.0"])]


def test_enabled_models_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """The first model named is the first in a report."""
    for name in ("alpha", "beta"):
        make_package(tmp_path, id=name)
    assert ["beta", "alpha"] == [p.parent.name for p in find_packages(tmp_path, ["beta", "alpha"])]


def test_one_model_in_two_versions_is_an_error(tmp_path: Path) -> None:
    """Two answers under one name could not be told apart."""
    for version in ("1.0.0", "2.0.0"):
        make_package(tmp_path, version=version)
    with pytest.raises(PackageError, match="tiny twice"):
        find_packages(tmp_path, ["tiny@1.0.0", "tiny@2.0.0"])


def test_an_unfinished_export_is_not_seen(tmp_path: Path) -> None:
    """A folder whose name begins with a dot is still being written."""
    make_package(tmp_path)
    make_package(tmp_path, version="2.0.0").rename(tmp_path / "tiny" / ".2.0.0")
    assert ["1.0.0"] == [p.name for p in find_packages(tmp_path)]


@pytest.mark.parametrize("wanted", ["nothing", "tiny@9.9.9", "tiny@1.0", "tiny@latest"])
def test_a_package_that_is_not_there_is_named(tmp_path: Path, wanted: str) -> None:
    """The error says what is there instead."""
    make_package(tmp_path)
    with pytest.raises(PackageError, match=r"tiny@1\.0\.0"):
        find_packages(tmp_path, [wanted])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A node without a model must not start and look healthy."""
    with pytest.raises(PackageError, match="no model package"):
        find_packages(tmp_path)


def test_an_altered_graph_is_refused(tmp_path: Path) -> None:
    """One changed byte is enough."""
    package = make_package(tmp_path)
    data = bytearray((package / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (package / "model.onnx").write_bytes(data)
    with pytest.raises(PackageError, match="is not the file of the manifest"):
        read_package(package)


def test_a_missing_graph_is_refused(tmp_path: Path) -> None:
    """Named, with what to do."""
    package = make_package(tmp_path)
    (package / "model.onnx").unlink()
    with pytest.raises(PackageError, match=r"model\.onnx is missing"):
        read_package(package)


@pytest.mark.parametrize("stranger", ["vit.onnx", "model.onnx.data", "sub/weights.bin"])
def test_weights_that_no_digest_covers_are_refused(tmp_path: Path, stranger: str) -> None:
    """A graph could draw weights from a file beside it."""
    package = make_package(tmp_path)
    (package / stranger).parent.mkdir(exist_ok=True)
    (package / stranger).write_bytes(b"?")
    with pytest.raises(PackageError, match=stranger):
        read_package(package)


def test_a_note_beside_a_package_does_no_harm(tmp_path: Path) -> None:
    """Papers may be added without a new version."""
    package = make_package(tmp_path)
    (package / "site-acceptance.md").write_text("accepted")
    assert "tiny" == read_package(package)[0].id


def test_a_manifest_of_another_schema_says_which_is_read(tmp_path: Path) -> None:
    """Fetching it again would not help."""
    package = make_package(tmp_path, schema_version=2)
    with pytest.raises(PackageError, match="this cxrd reads schema 1"):
        read_package(package)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"task": "regression"},
        {"version": "one"},
        {"classes": []},
        {"files": {}},
        {"files": {"model.onnx": "0" * 64, "../escape": "0" * 64}},
        {"surprise": 1},
        {"task": "binary"},
        {"calibration": {"scale": [1.0], "bias": [0.0]}},
        {"intended_use": {"views": [], "text": ""}},
        {"intended_use": {"views": ["PA"], "min_age_years": 18, "max_age_years": 5, "text": ""}},
        {"metrics": {"auroc": {"value": "NaN", "n": 1}}},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_manifest_that_is_not_valid_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Unknown schema, unknown keys, no classes, no graph, a path out of the package."""
    package = make_package(tmp_path)
    path = package / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(PackageError, match="is not valid"):
        read_package(package)


def test_a_package_in_the_wrong_folder_is_refused(tmp_path: Path) -> None:
    """What the path says and what the manifest says must agree, because operators read paths."""
    package = make_package(tmp_path)
    moved = package.rename(package.with_name("3.0.0"))
    with pytest.raises(PackageError, match=r"holds tiny 1\.0\.0"):
        read_package(moved)


def test_the_starter_packages_are_intact() -> None:
    """A fresh clone runs."""
    folders = find_packages(None)
    assert "charm" in [folder.parent.name for folder in folders]
    assert starter_folder() == folders[0].parents[1]
    for folder in folders:
        read_package(folder)
