"""A newcomer finds what there is: nothing that can be used goes unmentioned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cxrd

NAMED_TEST = re.compile(r"`(test_\w+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_the_papers_are_there(root: Path, name: str) -> None:
    """And not empty."""
    assert len((root / name).read_text(encoding="utf-8")) > 500


def test_every_room_is_on_the_map(root: Path) -> None:
    """ARCHITECTURE.md names each folder and module at the top of the daemon."""
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    top = [p for p in (root / "daemon" / "cxrd").iterdir() if p.is_dir() or p.suffix == ".py"]
    names = {p.stem for p in top if not p.stem.startswith("__") and any(p.iterdir() if p.is_dir() else [p])}
    missing = {name for name in names if not re.search(rf"\b{name}\b", text)}
    assert set() == missing - {"__pycache__"}


def test_every_dependency_earns_its_line(root: Path) -> None:
    """A package in pyproject.toml stands in ARCHITECTURE.md."""
    project = (root / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]")[0]
    wanted = re.findall(r'^  "([a-z][a-z0-9-]+)[>;\[]', project, re.MULTILINE)
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8").lower()
    missing = [name for name in wanted if name.removeprefix("pylibjpeg-") not in text]
    assert len(wanted) > 15
    assert [] == missing


def test_links_between_the_papers_hold(root: Path) -> None:
    """No link to a file that is not there."""
    for paper in root.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", paper.read_text(encoding="utf-8")):
            assert (root / target).exists(), f"{paper.name} links to {target}"


def test_links_in_the_documents_hold(root: Path) -> None:
    """From each document to the files beside it."""
    for paper in (root / "docs").rglob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", paper.read_text(encoding="utf-8")):
            assert (paper.parent / target).exists(), f"{paper.name} links to {target}"


def test_every_document_stands_in_the_index(root: Path) -> None:
    """What nobody can find is not written."""
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    papers = {p.relative_to(root / "docs").as_posix() for p in (root / "docs").rglob("*.md")} - {"README.md"}
    assert set() == {name for name in papers if f"({name})" not in index}


def test_every_hazard_names_a_test(root: Path) -> None:
    """From requirement to test, as IEC 62304 asks."""
    rows = [
        line for line in (root / "docs" / "risk.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    hazards = [row for row in rows if re.match(r"\| \d+ \|", row)]
    assert len(hazards) > 15
    assert [] == [row for row in hazards if not NAMED_TEST.search(row)]


@pytest.mark.parametrize("paper", ["risk.md", "explanation/air.md"])
def test_tests_that_a_document_names_exist(root: Path, paper: str) -> None:
    """A test that is renamed breaks here."""
    named = NAMED_TEST.findall((root / "docs" / paper).read_text(encoding="utf-8"))
    assert len(named) > 10
    for file, test in named:
        texts = [p.read_text(encoding="utf-8") for p in (root / "tests").rglob(file)]
        assert texts, file
        assert not test or any(f"def {test}(" in text for text in texts), f"{file}::{test}"


def test_the_version_is_one(root: Path) -> None:
    """The package says what pyproject.toml says."""
    assert f'version = "{cxrd.__version__}"' in (root / "pyproject.toml").read_text(encoding="utf-8")


def test_files_stay_rooms(root: Path) -> None:
    """At most 400 lines, so that a reader sees a file whole."""
    long = {
        path.name: count
        for folder in ("daemon", "models/cxrd_models", "tests")
        for path in (root / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert {} == long
