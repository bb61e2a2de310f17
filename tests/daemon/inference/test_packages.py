"""A package is what its manifest says, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxrd.errors import PackageError
from cxrd.inference.packages import read_package, shelf, starter_folder
from support.packages import make_package


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A node without a model must not start and look healthy."""
    with pytest.raises(PackageError, match="no model package"):
        shelf(tmp_path)


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
    root, there = shelf(None)
    assert "charm" in there
    assert starter_folder() == root
    folders = [folder for versions in there.values() for folder in versions.values()]
    for folder in folders:
        read_package(folder)
