"""A child dies with its parent (engine rule 6)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends (prctl(2) PR_SET_PDEATHSIG).

    Call it first thing in a child, from a child that its parent's main thread started. Elsewhere than on
    Linux it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or parent == 1:  # it died before the call took effect
        os._exit(1)
