"""Payload bytes, content-addressed: written once, never changed; in a directory, or in S3 (``store/s3.py``).

A file's name is the sha256 of its bytes, so writing the same content twice is one file and a reader can tell
altered bytes. A write is temporary file → fsync → rename → fsync of the directory; only then may a row name it.

Bytes that are here already are written all the same: after an fsync that failed, Linux calls the lost pages clean
and the next fsync of the same file succeeds. A new file has no such past, so no failed write is ever believed later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from cxrd.crashpoints import reach
from cxrd.errors import ConfigError, StoreError
from cxrd.settings import Storage
from cxrd.store.checked import read_payload
from cxrd.store.durable import sync_folder
from cxrd.store.volume import room

STALE_S = 3600.0
_TAKEN = ".taken"


class Payloads(Protocol):
    """Where payload bytes lie; a name is the sha256 (hex) of its bytes."""

    def put(self, data: bytes, digest: str = "") -> str:
        """Make bytes durable; their name, which a caller that has hashed them already may give."""
        ...

    def get(self, digest: str) -> bytes:
        """Bytes by their name, checked."""
        ...

    def file(self, digest: str) -> Path:
        """A local file of that name, for what reads files; ``read_payload`` checks it."""
        ...

    def total_bytes(self) -> int:
        """Size of the local volume; StoreError where it cannot be asked."""
        ...

    def free_bytes(self) -> int:
        """Free bytes on the local volume; StoreError where it cannot be asked."""
        ...

    def digests(self, *, before: float) -> Iterator[list[str]]:
        """Names of everything last changed before an epoch time, some at a time."""
        ...

    def sweep(self) -> int:
        """Remove what nobody needs any more of temporary files; how many."""
        ...


def open_payloads(storage: Storage) -> Payloads:
    """Open the payload store that the configuration names.

    Raises
    ------
    ConfigError
        S3 is asked for and obstore is not installed.
    StoreError
        A folder cannot be made.
    """
    if not storage.s3:
        return PayloadStore(storage.dir)
    try:
        from cxrd.store.s3 import S3Payloads  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise ConfigError("storage.s3 needs obstore", hint="pip install 'cxrd[s3]'") from None
    return S3Payloads(storage)


class PayloadStore:
    """A directory of ``aa/bb/<sha256>`` files.

    Parameters
    ----------
    root : Path
        Made when absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._incoming = self.root / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the payload folder {root} cannot be made: {error.strerror}", hint="check its owner"
            ) from error

    def put(self, data: bytes, digest: str = "") -> str:
        """Make bytes durable.

        Returns
        -------
        str
            sha256 (hex), the name to ask for them by.

        Raises
        ------
        StoreError
            Disk full, read-only or failing; nothing is left behind.
        """
        digest = digest or sha256(data).hexdigest()
        target = self.path(digest)
        temporary = self._incoming / uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                reach("payload_written")
                os.fsync(file.fileno())
            reach("payload_synced")
            temporary.rename(target)
            reach("payload_renamed")
            for folder in (target.parent, target.parent.parent, self.root):
                sync_folder(folder)
            reach("payload_durable")
        except OSError as error:
            with suppress(OSError):  # a disk that turned read-only; sweep comes round
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"payload cannot be written: {error.strerror}", hint="free or repair the payload disk"
            ) from error
        return digest

    def remove(self, digest: str, *, idle_s: float) -> bool:
        """Remove bytes, unless somebody put the same ones within the last ``idle_s`` seconds: a row may follow.

        The file is taken away first and looked at then. Whoever puts the same bytes writes a new file: it was taken
        away and its age is seen here, or it came after and lies untouched under its name. What was taken away has a
        name of its own, so that two removers never remove each other's.

        Returns
        -------
        bool
            Whether the bytes are gone.
        """
        target, away = self.path(digest), self._incoming / f"{digest}.{uuid4().hex}{_TAKEN}"
        try:
            target.rename(away)
            if time.time() - away.stat().st_mtime < idle_s:
                away.rename(target)
                return False
            away.unlink()
            sync_folder(target.parent)
        except FileNotFoundError:  # gone already, or put back by a sweep that took us for dead
            return not target.exists()
        except OSError as error:
            raise StoreError(f"payload cannot be removed: {error.strerror}", hint="repair the payload disk") from error
        return True

    def get(self, digest: str) -> bytes:
        """Bytes by their sha256 (hex).

        Raises
        ------
        PayloadLost
            The file is missing, unreadable, or its bytes have changed.
        """
        return read_payload(self.path(digest))

    def file(self, digest: str) -> Path:
        """Where the bytes lie, whether they are there or not."""
        return self.path(digest)

    def path(self, digest: str) -> Path:
        """As :meth:`file`."""
        return self.root / digest[:2] / digest[2:4] / digest

    def total_bytes(self) -> int:
        """Size of the volume."""
        return room(self.root).total

    def free_bytes(self) -> int:
        """Free bytes on the volume, for an unprivileged writer."""
        return room(self.root).free

    def digests(self, *, before: float) -> Iterator[list[str]]:
        """Names of all files last changed before an epoch time, one folder of them at a time."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]")):
            yield [file.name for file in folder.iterdir() if _is_older(file, before)]

    def sweep(self, *, older_than_s: float = STALE_S) -> int:
        """Remove temporary files that a dead writer left, and put back what a dead remover took away; how many."""
        limit, found = time.time() - older_than_s, 0
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # its owner lives after all
                told = path.stat()
                if path.suffix == _TAKEN:  # renaming it changed its ctime and left its age alone
                    stale = told.st_ctime < limit
                    if stale:
                        path.rename(self.path(path.name.partition(".")[0]))
                else:
                    stale = told.st_mtime < limit
                    if stale:
                        path.unlink()
                found += stale
        return found


def _is_older(file: Path, before: float) -> bool:
    """Whether a file was last changed before an epoch time; False for one that retention has just removed."""
    with suppress(FileNotFoundError):
        return file.stat().st_mtime < before
    return False
