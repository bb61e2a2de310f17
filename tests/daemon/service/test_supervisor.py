"""A role that lives and has stopped beating is ended; one that starts slowly, or under an odd clock, is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxrd.errors import ConfigError
from cxrd.service.supervisor import Supervisor, only_supervisor
from cxrd.settings import Settings, Work
from cxrd.store.database import Database

LEASE_S = 10.0


class Process:
    """A child that counts how often it is killed."""

    pid = 1

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        """Count."""
        self.kills += 1


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One over a single role whose process is ours."""
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    settings = Settings(work=Work(lease_s=LEASE_S))
    yield Supervisor(settings, ["infer"], database, read_again=lambda: settings)
    database.dispose()


def put(supervisor: Supervisor, worker_id: str) -> Process:
    """Have the role run in a new process under a new id."""
    process: Any = Process()
    child = supervisor._children["infer"]
    child.process, child.worker_id = process, worker_id
    made: Process = process
    return made


def test_a_silent_role_is_killed_after_a_lease(supervisor: Supervisor) -> None:
    """Not before, and not again at every look."""
    process = put(supervisor, "a")
    for now, kills in ((0.0, 0), (9.0, 0), (11.0, 1), (12.0, 1)):
        supervisor._kill_silent({"a": 5.0}, now)
        assert kills == process.kills, now


def test_a_role_that_beats_is_left_alone(supervisor: Supervisor) -> None:
    """Even when the clock of the beats stands, jumps or runs backwards: only that they change counts."""
    process = put(supervisor, "a")
    for now, beat in enumerate((5.0, 4.0, 1e9, 3.0)):
        supervisor._kill_silent({"a": beat}, now * 9.0)
    assert 0 == process.kills


def test_a_role_that_is_starting_is_left_alone(supervisor: Supervisor) -> None:
    """Loading models takes longer than a lease; and a new process is not judged by the silence of the last one."""
    put(supervisor, "a")
    supervisor._kill_silent({"a": 5.0}, 0.0)
    second = put(supervisor, "b")
    for now in (20.0, 40.0):
        supervisor._kill_silent({"a": 5.0}, now)
    supervisor._kill_silent({"b": 41.0}, 41.0)
    supervisor._kill_silent({"b": 41.0}, 50.0)
    assert 0 == second.kills


def test_one_supervisor_works_on_an_embedded_database(tmp_path: Path) -> None:
    """The second would void the leases of the first one's workers; it is refused, until the first has ended."""
    with only_supervisor(tmp_path), pytest.raises(ConfigError, match="another cxrd serves"):
        only_supervisor(tmp_path)
    only_supervisor(tmp_path).close()
