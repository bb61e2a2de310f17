"""How a process learns that it shall end."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_signal_that_another_thread_was_given_ends_the_wait() -> None:
    """The kernel may hand SIGTERM to any thread, as it does after a freeze; Python's handler runs in the main one."""
    assert 0 == subprocess.run([sys.executable, "-c", ROLE], timeout=20, check=False).returncode
