"""Fixtures of the daemon's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.database import fresh


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """The same test on both databases."""
    with fresh(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def payload(tmp_path: Path) -> PayloadStore:
    """An empty payload store."""
    return PayloadStore(tmp_path / "payload")
