"""Writes files whole or not at all, and says what is wrong with a disk that takes none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrd_models.errors import DataError


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Tell a disk that is full, or a folder that is a file, as what it is."""
    try:
        yield
    except OSError as fault:
        raise DataError(f"{target} cannot be written: {fault}", hint="--out is a folder of yours") from fault


def write_atomically(target: Path, text: str) -> None:
    """Write a file so that a reader finds the old one or the new one, never a part."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
