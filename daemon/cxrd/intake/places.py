"""How many associations there may be: places that all listener processes of a node share.

A place is a byte of one file, locked by the process that uses it (POSIX record locks). The kernel gives it back with
the process, however that ends, so a listener that is killed leaves no place taken.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from threading import Lock

ROOM = 1024
"""Bytes set aside for each kind of place; more than any limit in the settings."""


class Places:
    """Places to take and give back.

    Parameters
    ----------
    file : Path or None
        Shared by the processes; None keeps them in this process alone.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600) if file is not None else None
        self._lock = Lock()
        self._mine: set[int] = set()  # a process never collides with its own locks

    def take(self, whose: str, most: int) -> int | None:
        """Take one of ``most`` places of a source ("" for those of the node); None when all are taken."""
        first = int.from_bytes(sha256(whose.encode()).digest()[:4]) * ROOM if whose else 0
        with self._lock:
            for place in range(first, first + most):
                if place not in self._mine and self._locked(place):
                    self._mine.add(place)
                    return place
        return None

    def give(self, place: int) -> None:
        """Give a place back."""
        with self._lock:
            self._mine.discard(place)
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _locked(self, place: int) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True
