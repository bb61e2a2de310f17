"""When a process ends: with its parent (engine rule 6), or when it is asked to."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from math import inf
from threading import Event
from time import monotonic

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends (prctl(2) PR_SET_PDEATHSIG).

    Call it first thing in a child of ``multiprocessing``, which its parent's main thread started. Elsewhere than on
    Linux it does nothing. In a container the parent may be process 1, and whoever takes in orphans may be another.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it died before the call took effect
        os._exit(1)


def wait_for(stop: Event, *, at_most_s: float = inf) -> bool:
    """Wait in the main thread until a signal's handler has set ``stop``, which is returned, or so many seconds.

    It wakes every second: handlers run in the main thread only, and a signal that the kernel gave to another thread
    does not wake it (Python's signal module, "Signals and threads").
    """
    end = monotonic() + at_most_s
    while not stop.wait(min(1.0, at_most_s)):
        if monotonic() >= end:
            return False
    return True
