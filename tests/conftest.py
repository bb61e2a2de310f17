"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrd.demo.pacs import StandInPacs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def films() -> Path:
    """Folder of real films beside the checkout; a user's clone has none, so the test skips there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real films in ../shared/data, which are not part of the repository")
    return folder


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StandInPacs]:
    """A PACS that takes everything and answers C-FIND."""
    (tmp_path / "pacs").mkdir()
    peer = StandInPacs(tmp_path / "pacs", "PACS")
    peer.start()
    yield peer
    peer.stop()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``make storm`` and ``make population`` do more than ``make test``, and keep pictures of the page."""
    parser.addoption("--headers", default="200", help="real headers to make outputs of (0: every one)")
    parser.addoption("--storm-kills", default="15", help="times that something is killed -9 at random (default 15)")
    parser.addoption("--screenshots", default="", help="folder for pictures of the page as a browser shows it")
