"""A process that is frozen, as a paused virtual machine is: its work goes on elsewhere, and stays as it is then."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from cxrd.demo.pacs import StandInPacs
from cxrd.peers import Destination
from cxrd.rules import Admission
from cxrd.service.roles import run_role
from cxrd.settings import Database as DatabaseUrl
from cxrd.settings import Inference, Models, Settings, Storage, Work
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.database import database_url
from support.datasets import encoded, film
from support.node import Node, until
from support.packages import make_package
from support.rows import arrive, rows
from support.storm import Sender, at

pytestmark = pytest.mark.flow
STAGES = ("infer", "build", "deliver")
TABLES = ("study", "instance", "job", "inference", "artefact", "delivery", "audit")


@contextmanager
def working(role: str, worker: str, settings: Settings) -> Iterator[SpawnProcess]:
    """A role without a supervisor."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_role, args=(settings, role, worker, 0, "", theirs))
    process.start()
    yield process
    process.kill()
    process.join()
    ours.close()


def frozen(process: SpawnProcess) -> bool:
    """Whether a process is stopped by a signal."""
    assert process.is_alive()
    return Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1][0] == "T"


def leave(process: SpawnProcess) -> None:
    """Ask a role to finish what it holds and go."""
    os.kill(process.pid or 0, signal.SIGTERM)
    process.join(180)
    assert 0 == process.exitcode


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row that tells of a study."""
    return {table: rows(database, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}  # noqa: S608 - no input


def done(database: Database, stage: str) -> Callable[[], bool]:
    """Whether a stage's one job is done."""
    return lambda: [("done",)] == rows(database, f"SELECT state FROM job WHERE kind = '{stage}'")  # noqa: S608 - as above


@pytest.mark.parametrize("point", ["infer_claimed", "build_claimed", "deliver_claimed", "deliver_before_send"])
def test_a_thawed_worker_changes_nothing(point: str, tmp_path: Path, pacs: StandInPacs) -> None:
    """Its lease ended, another did the work; when it wakes it finishes what it held, and not one row is different.

    Its own watchdog would end it at once, so its lease is long: here the fence alone must hold. On SQLite a frozen
    process may hold the one lock of all writers, so that nobody else does its work before its supervisor ends it.
    """
    make_package(tmp_path / "models")
    stage = point.split("_", maxsplit=1)[0]
    with database_url("postgresql", tmp_path) as url:
        settings = Settings(
            database=DatabaseUrl(url=url),
            storage=Storage(dir=tmp_path / "payload"),
            models=Models(dir=tmp_path / "models"),
            admission=Admission(content="off"),  # this film is noise, and whoever looks at it sees that
            inference=Inference(decode_processes=0),
            destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=pacs.port, timeout_s=20),),
            work=Work(lease_s=3600),
        )
        freezing = settings.model_copy(update={"crash_at": point, "crash_how": "stop"})
        database = Database(url)
        database.upgrade()
        dataset = film()
        digest = PayloadStore(tmp_path / "payload").put(encoded(dataset))
        arrive(database, study_uid=dataset.StudyInstanceUID, sop_uid=dataset.SOPInstanceUID, sha256=digest)
        for before in STAGES[: STAGES.index(stage)]:
            with working(before, f"{before}0", settings) as process:
                until(done(database, before), seconds=180, what=f"{before} is done")
                leave(process)
        with working(stage, "zombie", freezing) as zombie:
            until(lambda: frozen(zombie), seconds=180, what="it is frozen")
            with database.write() as connection:
                now = database.now(connection) + 2 * settings.work.lease_s
                assert 1 == len(jobs.reap(connection, now, max_crashes=3))
            with working(stage, "successor", settings) as process:
                until(done(database, stage), seconds=180, what="another has done the work")
                leave(process)
            rows_before = everything(database)
            os.kill(zombie.pid or 0, signal.SIGCONT)
            leave(zombie)
            assert rows_before == everything(database)
        assert all(len(digests) == 1 for digests in pacs.digests.values())
        assert (2 if stage == "deliver" else 0) == len(list(pacs.folder.iterdir()))
        database.dispose()


@pytest.mark.parametrize("point", ["infer_claimed", "build_before_commit", "deliver_after_send"])
def test_a_frozen_role_is_replaced(
    point: str, tmp_path: Path, pacs: StandInPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even in the middle of a commit, when it holds the database's lock: the supervisor sees it and ends it."""
    make_package(tmp_path / "models")
    monkeypatch.setitem(os.environ, "CXRD_CRASH_AT", point)
    monkeypatch.setitem(os.environ, "CXRD_CRASH_HOW", "stop")
    with Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models", lease_s=12) as node:
        sender = Sender(node, tmp_path)
        sender.one()
        expected = {study: ["OT", "SR"] for study in sender.acknowledged.values()}
        until(lambda: at(pacs) == expected, seconds=240, what="results at the PACS")
        until(lambda: {row["state"] for row in node.studies()} == {"delivered"}, seconds=180, what="states agree")
        assert f'"silent": "{point.split("_", maxsplit=1)[0]}"' in node.log.read_text()
    assert all(len(digests) == 1 for digests in pacs.digests.values())
