"""How a process learns that it shall end."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxrd.watch.lifeline import die_with_parent
from support.node import until

ROLE = """
import signal, sys, threading, time
from cxrd.watch.lifeline import wait_for
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

def sender():
    time.sleep(0.5)  # the main thread waits by now
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    while not stop.is_set():
        time.sleep(0.1)

threading.Thread(target=sender).start()
wait_for(stop)
"""

PARENT = """
import multiprocessing, time
from support.lingering import linger
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=linger)
    child.start()
    time.sleep(60)
"""


def test_a_child_dies_with_its_parent(tmp_path: Path, root: Path) -> None:
    """Killed, so that nothing could be handed on: the kernel ends the child."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    paths = os.pathsep.join([str(root / "tests"), *sys.path])
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env={"PYTHONPATH": paths}) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().decode().strip()
        assert child.exists()
        parent.kill()
        try:
            until(lambda: not child.exists(), seconds=20, what="the child is gone")
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(child.name), signal.SIGKILL)


@pytest.mark.parametrize(("parent", "now", "ends"), [(42, 42, False), (1, 1, False), (42, 1, True), (42, 77, True)])
def test_a_child_whose_parent_is_gone_already_ends(
    parent: int,
    now: int,
    ends: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever took it in; and a supervisor that is process 1 of its container keeps its children."""
    left: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_more: SimpleNamespace(prctl=lambda *_: 0))
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=parent))
    monkeypatch.setattr(os, "getppid", lambda: now)
    monkeypatch.setattr(os, "_exit", left.append)
    die_with_parent()
    assert ends == bool(left)


def test_a_signal_that_another_thread_was_given_ends_the_wait() -> None:
    """The kernel may hand SIGTERM to any thread, as it does after a freeze; Python's handler runs in the main one."""
    assert 0 == subprocess.run([sys.executable, "-c", ROLE], timeout=20, check=False).returncode
