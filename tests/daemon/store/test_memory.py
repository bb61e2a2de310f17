"""What is remembered, and for how long: in both databases, and in Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cxrd.serving import Cache, Redis
from cxrd.settings import Settings
from cxrd.store.database import Database
from cxrd.store.memory import DatabaseCache, Kept, RedisCache, open_cache
from support.node import free_port, until


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis server of this file's own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs Redis: apt-get install redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until(lambda: listens(port), seconds=20, what="Redis listens")
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


def listens(port: int) -> bool:
    """Whether somebody takes connections."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_the_database_remembers_the_youngest(database: Database) -> None:
    """At most so many, none for longer than it may; the same name is kept once."""
    cache = DatabaseCache(database, entries=2, ttl_s=3600)
    for name in ("a", "b", "b", "c"):
        cache.put({name: name.encode() * 3})
    assert {"b": b"bbb", "c": b"ccc"} == cache.get(["a", "b", "c"])
    assert Kept("database", 2, 6) == cache.kept()
    assert {} == DatabaseCache(database, entries=2, ttl_s=0.0).get(["b", "c"])
    assert 2 == cache.clear()
    assert {} == cache.get(["b"])


def test_a_cache_of_no_entries_keeps_none(database: Database) -> None:
    """So a site can turn it off."""
    cache = open_cache(Settings(cache=Cache(entries=0)), database)
    cache.put({"a": b"a"})
    assert 0 == cache.kept().entries


def test_redis_remembers_in_place_of_the_database(tmp_path: Path, redis: str) -> None:
    """Until its own time is over; only our keys are counted and removed."""
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")  # without a table: nothing may be asked of it
    cache = open_cache(Settings(redis=Redis(url=redis)), database)
    assert isinstance(cache, RedisCache)
    cache._client.set("somebody's", b"else")
    cache.put({"a": b"\x00\xff", "b": b"b"})
    assert {"a": b"\x00\xff"} == cache.get(["a", "nothing"])
    assert 0 < cache._client.pttl("cxrd:output:a") <= 86_400_000
    assert Kept("redis", 2, 3) == cache.kept()
    assert 2 == cache.clear()
    assert b"else" == cache._client.get("somebody's")
    assert {} == cache.get([])


def test_a_redis_that_is_away_remembers_nothing_and_says_so(database: Database) -> None:
    """And nobody has to wait long, or is refused."""
    said: list[str] = []
    cache = open_cache(Settings(redis=Redis(url=f"redis://127.0.0.1:{free_port()}/0")), database, said.append)
    cache.put({"a": b"a"})
    assert ({}, Kept("redis", 0, 0), 0) == (cache.get(["a"]), cache.kept(), cache.clear())
    assert "Redis does not answer, nothing is remembered: ConnectionError" == said[0]
