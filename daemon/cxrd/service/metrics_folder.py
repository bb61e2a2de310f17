"""The folder where the processes of one node keep their metrics and count associations; it ends with its supervisor.

A supervisor holds a lock on its folder. Where one was killed the lock is gone and the folder is still there: the next
supervisor of this machine removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "cxrd-node-"
"""Not that of versions before, ``cxrd-metrics-``, which held no lock: theirs may be in use."""
TOLD_BY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads it when a child imports it."""
YOUNG_S = 60.0
"""A folder that changed within so many seconds may have an owner that has not locked it yet."""


@contextmanager
def metrics_folder() -> Iterator[str]:
    """Make the folder of this node, where children keep what they count, and remove it in the end; its path.

    Those of dead nodes are removed now.
    """
    _remove_stale()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # children do not inherit it
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.environ[TOLD_BY] = folder
        yield folder
    finally:
        os.environ.pop(TOLD_BY, None)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_stale() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, or another supervisor removes it too
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                told = os.fstat(held)
                if told.st_uid == os.getuid() and time.time() - told.st_mtime > YOUNG_S:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(held)
