"""Nothing is left in the temporary folder by nodes that are gone, and nothing is taken from those that run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from cxrd.service.metrics_folder import TOLD_BY, YOUNG_S, metrics_folder
from cxrd.service.supervisor import Supervisor
from cxrd.settings import Settings
from cxrd.store.database import Database

OWNER = """
from cxrd.service.metrics_folder import metrics_folder
with metrics_folder() as folder:
    print(folder, flush=True)
    input()
"""

ROLE = """
from cxrd.watch import metrics as m
m.keep_under("cxrd-infer")
metrics = m.Metrics()
metrics.count(m.RESTARTS, role="infer")
metrics.set(m.DESTINATION_UP, 1, destination="pacs")
metrics.observe(m.STAGE, 0.2, stage="decode")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, for this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another node's supervisor and its folder, which has not changed for long."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None
        folder = Path(it.stdout.readline().strip())
        (folder / "counter_1.db").touch()
        os.utime(folder, (1, 1))
        yield it, folder
        it.kill()


def test_a_killed_nodes_folder_goes_with_the_next_start(owner: tuple[subprocess.Popen[str], Path]) -> None:
    """As soon as its owner is dead, and no earlier."""
    process, folder = owner
    with metrics_folder():
        assert (folder / "counter_1.db").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with metrics_folder():
        assert not folder.exists()


def test_what_is_young_or_no_folder_stays(place: Path) -> None:
    """A node that starts beside us has made its folder and not locked it yet."""
    young, link, target = place / "cxrd-node-young", place / "cxrd-node-link", place / "target"
    young.mkdir()
    target.mkdir()
    link.symlink_to(target)
    os.utime(target, (1, 1))
    with metrics_folder():
        assert young.exists()
        assert target.exists()
    os.utime(young, (young.stat().st_mtime - 2 * YOUNG_S,) * 2)
    with metrics_folder():
        assert not young.exists()
        assert target.exists()


def test_a_node_that_ends_leaves_nothing(place: Path, tmp_path: Path) -> None:
    """It makes its folder when it runs, and takes it along."""
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    database.upgrade()
    supervisor = Supervisor(Settings(), [], database, Settings)
    seen: list[Path] = []

    def folders() -> list[Path]:
        return [path for path in place.glob("cxrd-*") if path.is_dir()]

    def end() -> None:
        seen.extend(folders())
        os.kill(os.getpid(), signal.SIGTERM)

    assert [] == folders()
    supervisor.run(end)
    database.dispose()
    assert 1 == len(seen)
    assert [] == folders()
    assert TOLD_BY not in os.environ


def test_a_role_that_is_started_again_and_again_leaves_one_set_of_files(tmp_path: Path) -> None:
    """It goes on counting where it ended; each scrape reads every file there is, and a weekend has many attempts."""
    for attempt in (1, 2, 3):
        subprocess.run([sys.executable, "-c", ROLE], env={**os.environ, TOLD_BY: str(tmp_path)}, check=True)
        files = sorted(file.name for file in tmp_path.iterdir())
        assert ["counter_cxrd-infer.db", "gauge_livemax_cxrd-infer.db", "histogram_cxrd-infer.db"] == files
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
        assert attempt == registry.get_sample_value("cxrd_worker_restarts_total", {"role": "infer"})
        assert attempt == registry.get_sample_value("cxrd_stage_duration_seconds_count", {"stage": "decode"})
    mark_process_dead("cxrd-infer", str(tmp_path))  # type: ignore[no-untyped-call]
    assert ["counter_cxrd-infer.db", "histogram_cxrd-infer.db"] == sorted(file.name for file in tmp_path.iterdir())
