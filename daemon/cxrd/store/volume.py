"""Room on the volume of a folder; one that cannot be asked is a store that is away, not a fault of the program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from cxrd.errors import StoreError


class Room(NamedTuple):
    """Bytes of a volume, and those that an unprivileged writer may still fill."""

    total: int
    free: int


def room(folder: Path) -> Room:
    """Look at the volume of a folder.

    Raises
    ------
    StoreError
        The folder is not there, or its volume does not answer.
    """
    try:
        told = shutil.disk_usage(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be looked at: {error.strerror}", hint="is its volume mounted?") from error
    return Room(told.total, told.free)
