"""An infer worker follows the stages of the database, and never answers with less than it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from cxrd.errors import ConfigError, PackageError
from cxrd.inference.engine import Classifier
from cxrd.inference.packages import read_package
from cxrd.service import model_set
from cxrd.service.choosing import adopt, chosen, registered
from cxrd.service.model_set import ModelSet
from cxrd.settings import Settings
from cxrd.store import jobs, packages
from cxrd.store.database import Database
from cxrd.watch.metrics import Metrics
from support.packages import make_package


class Worker:
    """A model set with a database of its own, and what it handed over last."""

    def __init__(self, folder: Path, **models: Any) -> None:
        tree = {"database": {"url": f"sqlite:///{folder}/cxrd.db"}, "inference": {"provider": "cpu"}}
        self.settings = Settings.model_validate({**tree, "models": {"dir": folder / "models", **models}})
        self.database = Database(self.settings.database.url)
        self.database.upgrade()
        with self.database.write() as connection:
            jobs.register_worker(connection, self.database.now(connection), "w1", role="infer", version="0")
        self.metrics = Metrics()
        self.set = ModelSet(self.settings, self.database, "w1", self.metrics)
        self.loaded: tuple[list[str], list[str]] = ([], [])

    def start(self) -> tuple[list[str], list[str]]:
        """Load; versions that answer and that look on."""
        self.take(*self.set.start())
        return self.loaded

    def take(self, active: Sequence[Classifier], shadows: Sequence[Classifier]) -> None:
        """Take a set."""
        self.loaded = ([c.ref.version for c in active], [c.ref.version for c in shadows])

    def follow(self) -> tuple[list[str], list[str]]:
        """Look once."""
        self.set.look(self.take)
        return self.loaded

    def move(self, step: str, version: str, *more: Any) -> None:
        """Change a stage as an operator does."""
        with self.database.write() as connection:
            force = {"force": True} if step == "retire" else {}
            getattr(packages, step)(connection, self.database.now(connection), "tiny", version, *more, **force)

    def runs(self) -> dict[str, str]:
        """What the database is told: version to fault."""
        with self.database.read() as connection:
            found = packages.running(connection, self.database.now(connection), 60)
        return {run.version: run.fault for loaded in found.values() for run in loaded}

    def shown(self, text: str) -> bool:
        """Whether a line of the metrics begins so."""
        return any(line.startswith(text) for line in generate_latest(self.metrics.registry).decode().splitlines())


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Version 1.0.0 answers; 2.0.0 was added afterwards."""
    make_package(tmp_path / "models")
    made = Worker(tmp_path)
    made.start()
    second = make_package(tmp_path / "models", version="2.0.0")
    made.move("add", "2.0.0", read_package(second)[1])
    return made


def test_what_is_found_at_the_start_becomes_active(worker: Worker) -> None:
    """So a version that is only put beside it does not answer, not even after a restart."""
    assert (["1.0.0"], []) == worker.follow()
    assert (["1.0.0"], []) == worker.start()


def test_a_promotion_is_followed_and_a_rollback_too(worker: Worker) -> None:
    """With the metric of the model that answers, and the database knows what is loaded."""
    worker.move("shadow", "2.0.0")
    assert (["1.0.0"], ["2.0.0"]) == worker.follow()
    worker.move("promote", "2.0.0", {})
    assert (["2.0.0"], []) == worker.follow()
    assert {"2.0.0": ""} == worker.runs()
    digest = registered(worker.settings)[0].digest[:12]
    assert worker.shown('cxrd_model_info{digest="' + digest)
    assert not worker.set.look(worker.take)
    with worker.database.write() as connection:
        packages.roll_back(connection, 0.0, "tiny", "")
    assert (["1.0.0"], []) == worker.follow()


def test_a_package_that_cannot_be_loaded_leaves_the_one_before(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named in the database and a metric, and tried again when it may have come."""
    away = tmp_path / "away"
    (tmp_path / "models/tiny/2.0.0").rename(away)
    worker.move("promote", "2.0.0", {})
    assert (["1.0.0"], []) == worker.follow()
    assert "not in" in worker.runs()["2.0.0"]
    assert worker.shown('cxrd_model_missing_info{model="tiny",stage="active",version="2.0.0"} 1.0')
    away.rename(tmp_path / "models/tiny/2.0.0")
    assert (["1.0.0"], []) == worker.follow()
    monkeypatch.setattr(model_set, "monotonic", lambda: float("inf"))
    assert (["2.0.0"], []) == worker.follow()
    assert worker.shown('cxrd_model_missing_info{model="tiny",stage="active",version="2.0.0"} 0.0')


def test_other_bytes_under_the_same_number_are_refused(worker: Worker, tmp_path: Path) -> None:
    """As when another host's folder was filled by hand."""
    make_package(tmp_path / "models", version="2.0.0", title="Something else")
    worker.move("promote", "2.0.0", {})
    assert (["1.0.0"], []) == worker.follow()
    assert "has digest" in worker.runs()["2.0.0"]


def test_a_set_that_is_not_taken_leaves_the_one_before(worker: Worker) -> None:
    """Thresholds of the site may not fit a new version."""

    def refuse(_active: Sequence[Classifier], _shadows: Sequence[Classifier]) -> None:
        raise ConfigError("no such class")

    worker.move("promote", "2.0.0", {})
    assert not worker.set.look(refuse)
    assert {"1.0.0": "", "2.0.0": "no such class"} == worker.runs()


def test_a_worker_that_should_answer_with_a_package_that_is_gone_does_not_start(worker: Worker, tmp_path: Path) -> None:
    """Another version must not slip into its place."""
    (tmp_path / "models/tiny/1.0.0").rename(tmp_path / "away")
    with pytest.raises(PackageError, match=r"tiny@1\.0\.0 is active and not in"):
        ModelSet(worker.settings, worker.database, "w2", Metrics()).start()


def test_a_shadow_that_cannot_be_loaded_keeps_nobody_from_starting(worker: Worker, tmp_path: Path) -> None:
    """It is only missed."""
    worker.move("shadow", "2.0.0")
    (tmp_path / "models/tiny/2.0.0/model.onnx").write_bytes(b"x")
    assert (["1.0.0"], []) == worker.start()


def test_a_node_where_nothing_answers_does_not_start(worker: Worker) -> None:
    """And says what to do."""
    worker.move("retire", "1.0.0", "unsafe")
    adopt(worker.settings, worker.database)
    with pytest.raises(PackageError, match="no model is active"):
        chosen(worker.settings, registered(worker.settings))
