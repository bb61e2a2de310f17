"""Payloads in S3: the promises of the directory, kept by a real server (moto) and obstore."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.exceptions import AlreadyExistsError

from cxrd.errors import ConfigError, PayloadLost, StoreError
from cxrd.settings import Storage
from cxrd.store.payload import Payloads, open_payloads
from cxrd.store.s3 import S3Payloads
from support.node import free_port, until

FOREVER = float("inf")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a running S3 server with one bucket."""
    url = f"http://127.0.0.1:{free_port()}"
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)

    def bucket() -> bool:
        try:
            return httpx.put(f"{url}/films", timeout=5).is_success
        except httpx.TransportError:
            return False

    try:
        until(bucket, seconds=120, what="the S3 server answers")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def storage(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A prefix of its own for each test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "cxrd")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return Storage(dir=tmp_path / "local", s3=f"s3://films/{tmp_path.name}", s3_endpoint=server)


def copies(storage: Storage) -> list[Path]:
    """Local copies."""
    return sorted((storage.dir / "copies").iterdir())


def key(digest: str) -> str:
    """The object's key below the prefix."""
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def test_bytes_come_back_by_their_hash_on_another_host(storage: Storage, tmp_path: Path) -> None:
    """The second host has nothing but the bucket."""
    digest = open_payloads(storage).put(b"film" * 1000)
    another: Payloads = open_payloads(storage.model_copy(update={"dir": tmp_path / "another host"}))
    assert sha256(b"film" * 1000).hexdigest() == digest
    assert b"film" * 1000 == another.get(digest)
    assert b"film" * 1000 == another.file(digest).read_bytes()
    assert [[digest]] == list(another.digests(before=FOREVER))
    assert [[]] == list(another.digests(before=0.0))


def test_the_same_content_twice_is_one_object(storage: Storage) -> None:
    """The second put finds the first."""
    payloads = open_payloads(storage)
    assert payloads.put(b"film") == payloads.put(b"film")
    assert 1 == sum(len(part) for part in payloads.digests(before=FOREVER))


def test_nothing_is_written_over(storage: Storage) -> None:
    """The condition goes out with every put, and the server keeps it."""
    payloads = S3Payloads(storage)
    digest = payloads.put(b"film")
    with pytest.raises(AlreadyExistsError):
        obstore.put(payloads._store, key(digest), b"filn", mode="create", use_multipart=False)
    written = obstore.head(payloads._store, key(digest))["last_modified"]
    payloads.put(b"film")
    assert written == obstore.head(payloads._store, key(digest))["last_modified"]


def test_altered_bytes_are_named_and_mended_by_the_same_content(storage: Storage) -> None:
    """As in the directory."""
    payloads = S3Payloads(storage)
    digest = payloads.put(b"film")
    obstore.put(payloads._store, key(digest), b"filn")
    with pytest.raises(PayloadLost, match="altered"):
        payloads.get(digest)
    payloads.put(b"film")
    assert b"film" == payloads.get(digest)


def test_what_is_not_there_is_lost_and_a_server_that_is_away_is_not(storage: Storage) -> None:
    """The first is one job's trouble, the second everybody's."""
    with pytest.raises(PayloadLost, match="missing"):
        open_payloads(storage).get("0" * 64)
    away = open_payloads(storage.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{free_port()}"}))
    for ask in (lambda: away.get("0" * 64), lambda: away.put(b"film"), lambda: list(away.digests(before=FOREVER))):
        with pytest.raises(StoreError, match="S3"):
            ask()


def test_local_copies_go_when_nobody_needs_them(storage: Storage) -> None:
    """And come back when somebody does."""
    payloads = S3Payloads(storage)
    digest = payloads.put(b"film")
    assert [] == copies(storage)
    payloads.get(digest)
    assert [digest] == [path.name for path in copies(storage)]
    assert 0 == payloads.sweep()
    assert 1 == payloads.sweep(older_than_s=-1)
    assert b"film" == payloads.get(digest)


@pytest.mark.parametrize("damaged", [b"", b"fi", b"filn"])
def test_a_local_copy_that_was_damaged_is_fetched_once_more(storage: Storage, damaged: bytes) -> None:
    """A power cut may leave a name and no bytes; S3 has them."""
    payloads = S3Payloads(storage)
    digest = payloads.put(b"film")
    for ask in (payloads.get, lambda name: payloads.file(name).read_bytes()):
        payloads.file(digest).write_bytes(damaged)
        assert b"film" == ask(digest)
    assert [digest] == [path.name for path in copies(storage)]


def test_amazon_needs_no_endpoint(tmp_path: Path) -> None:
    """The default; a server of one's own is the exception."""
    amazon = S3Payloads(Storage(dir=tmp_path, s3="s3://films/cxrd"))
    assert amazon._store.config.get("endpoint") is None


def test_without_obstore_the_operator_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional dependency."""
    monkeypatch.delitem(sys.modules, "cxrd.store.s3", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"cxrd\[s3\]"):
        open_payloads(Storage(dir=tmp_path, s3="s3://films"))
