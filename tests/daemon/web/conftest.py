"""Fixtures of the page's tests: one node is filled for a file, and each test works on a copy of its database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cxrd.peers import Destination
from cxrd.settings import Models, Settings, Storage
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.web.server import application
from support.browsing import Filled, fill, local

PACS = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The node that is copied."""
    folder = tmp_path_factory.mktemp("node")
    settings = Settings(storage=Storage(min_free_mb=0), destinations=(PACS,), models=Models(dir=folder / "models"))
    database, payload = Database(f"sqlite:///{folder}/cxrd.db"), PayloadStore(folder / "payload")
    database.upgrade()
    studies = fill(database, payload, settings, folder)
    database.dispose()
    return Filled(settings, database, payload, studies)


@pytest.fixture
def filled(worked: Filled, tmp_path: Path) -> Iterator[Filled]:
    """The same node with a database of its own."""
    shutil.copyfile(str(worked.database.engine.url.database), tmp_path / "cxrd.db")
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    yield Filled(worked.settings, database, worked.payload, worked.studies)
    database.dispose()


@pytest.fixture
def studies(filled: Filled) -> dict[str, str]:
    """UIDs of its studies by name."""
    return filled.studies


@pytest.fixture
def client(filled: Filled) -> TestClient:
    """A browser on this machine."""
    return local(application(filled.settings, filled.database, filled.payload))
