"""Small file systems of their own, so that a full or failing disk is a real one."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Volume:
    """A mounted tmpfs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def full(self, *, leave: int = 0) -> Iterator[None]:
        """Leave only so many bytes of room for a while."""
        filler = self.folder / "filler"
        with filler.open("wb") as file:
            space = os.statvfs(self.folder)
            wanted = space.f_bavail * space.f_frsize - leave
            while not _allocated(file.fileno(), wanted):
                wanted -= space.f_frsize  # somebody wrote since the room was measured
        yield
        filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Take no write for a while; nothing may be open for writing."""
        self._mount("-o", "remount,ro")
        yield
        self._mount("-o", "remount,rw")

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True)


def _allocated(descriptor: int, size: int) -> bool:
    """Give a file so many bytes of room; False where there are not so many."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


@contextmanager
def volume(folder: Path, *, megabytes: int) -> Iterator[Volume]:
    """Mount a volume of so many megabytes; skips where the machine allows no mount (CI does)."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs (run as root): {done.stderr.strip()}")
    try:
        yield Volume(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Have the kernel fail every write of this process past so many bytes of a file, as a bad disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
