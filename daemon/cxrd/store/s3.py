"""Payload bytes in S3-compatible storage: the same names as in a directory, put only where nothing lies yet.

A put carries ``If-None-Match: *``, so of two writers of one content the second finds the first's. A server that
does not know the condition would write the same bytes again, which changes nothing, since a name is the hash of
its bytes. What needs a file (a decoder, a sender) gets a local copy. It is checked each time, not synced: one that a
power cut damaged is fetched once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from cxrd.crashpoints import reach
from cxrd.errors import PayloadLost, StoreError
from cxrd.settings import Storage
from cxrd.store.checked import read_payload
from cxrd.store.volume import room

COPY_S = 600.0
"""A local copy that nobody asked for in so many seconds is removed."""
_HINT = "does the S3 server run, and may these credentials read and write the bucket?"


class S3Payloads:
    """Objects ``aa/bb/<sha256>`` under a bucket and prefix.

    Credentials come from the environment, as every S3 client takes them (``AWS_ACCESS_KEY_ID``, an instance's
    role).

    Parameters
    ----------
    storage : Storage
        ``s3`` names bucket and prefix, ``s3_endpoint`` and ``s3_region`` the server; ``dir`` gets local copies.

    Raises
    ------
    StoreError
        The folder for local copies cannot be made.
    """

    def __init__(self, storage: Storage) -> None:
        place = urlsplit(storage.s3)
        self._store = S3Store(
            place.netloc,
            prefix=place.path.strip("/") or None,
            config={"endpoint": storage.s3_endpoint} if storage.s3_endpoint else None,  # without it, Amazon's
            region=storage.s3_region,
            virtual_hosted_style_request=not storage.s3_endpoint,
            client_options={
                "allow_http": storage.s3_endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=60),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )
        self._copies = storage.dir.absolute() / "copies"
        try:
            self._copies.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the payload folder {storage.dir} cannot be made: {error.strerror}", hint="check its owner"
            ) from error

    def put(self, data: bytes, digest: str = "") -> str:
        """Make bytes durable; their sha256 (hex).

        Raises
        ------
        StoreError
            The server does not take them now.
        """
        digest = digest or sha256(data).hexdigest()
        reach("payload_written")
        try:
            obstore.put(self._store, _key(digest), data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            self._mend(digest, data)
        except BaseError as error:
            raise StoreError(f"payload cannot be written to S3: {_first_line(error)}", hint=_HINT) from error
        reach("payload_durable")
        return digest

    def get(self, digest: str) -> bytes:
        """Bytes by their sha256 (hex).

        Raises
        ------
        PayloadLost
            There is no such object, or its bytes have changed.
        StoreError
            The server does not answer.
        """
        copy = self._copies / digest
        try:
            os.utime(copy)
            return read_payload(copy)
        except (FileNotFoundError, PayloadLost):  # a good copy takes its place
            data = self._fetch(digest)
        if sha256(data).hexdigest() != digest:
            raise PayloadLost(digest, "has been altered in S3")
        self._keep(copy, data)
        return data

    def file(self, digest: str) -> Path:
        """A local copy; raises as :meth:`get`."""
        self.get(digest)
        return self._copies / digest

    def total_bytes(self) -> int:
        """Size of the volume of local copies."""
        return room(self._copies).total

    def free_bytes(self) -> int:
        """Free bytes of the volume of local copies; S3 itself has no such number."""
        return room(self._copies).free

    def digests(self, *, before: float) -> Iterator[list[str]]:
        """Names of all objects last changed before an epoch time, some at a time."""
        try:
            for part in obstore.list(self._store):
                yield [meta["path"].rpartition("/")[2] for meta in part if meta["last_modified"].timestamp() < before]
        except BaseError as error:
            raise StoreError(f"payloads in S3 cannot be listed: {_first_line(error)}", hint=_HINT) from error

    def sweep(self, *, older_than_s: float = COPY_S) -> int:
        """Remove local copies that nobody needs any more; how many."""
        limit, gone = time.time() - older_than_s, 0
        for path in self._copies.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too
                if path.stat().st_mtime < limit:
                    path.unlink()
                    gone += 1
        return gone

    def _mend(self, digest: str, data: bytes) -> None:
        """Leave an object alone that has its bytes; one that was altered gets them back."""
        try:
            if self._fetch(digest) != data:
                obstore.put(self._store, _key(digest), data, mode="overwrite", use_multipart=False)
        except BaseError as error:
            raise StoreError(f"payload cannot be written to S3: {_first_line(error)}", hint=_HINT) from error

    def _fetch(self, digest: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, _key(digest)).bytes())
        except FileNotFoundError:
            raise PayloadLost(digest, "is missing in S3") from None
        except BaseError as error:
            raise StoreError(f"payload cannot be read from S3: {_first_line(error)}", hint=_HINT) from error

    def _keep(self, copy: Path, data: bytes) -> None:
        self.sweep()
        temporary = self._copies / f"{uuid4().hex}.part"
        try:
            temporary.write_bytes(data)
            temporary.rename(copy)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"a local copy cannot be written: {error.strerror}", hint="free or repair the payload disk"
            ) from error


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def _first_line(error: BaseError) -> str:
    return str(error).strip().partition("\n")[0]
