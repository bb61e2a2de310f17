"""Where outputs of models are remembered: in the database, or in Redis where the configuration names one.

A cache may be emptied at any time and harms nobody: what it cannot tell is judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import delete, func, select

from cxrd.errors import ConfigError
from cxrd.inference.remembering import Memory
from cxrd.settings import Settings
from cxrd.store import jobs, schema
from cxrd.store.database import Database

T = TypeVar("T")
PREFIX = "cxrd:output:"
_r = schema.remembered.c


@dataclass(frozen=True, slots=True)
class Kept:
    """What a memory holds.

    Attributes
    ----------
    where : str
        ``database`` or ``redis``.
    entries, size : int
        Outputs, and their bytes.
    """

    where: str
    entries: int
    size: int


class Cache(Memory, Protocol):
    """A memory that can be looked into and emptied."""

    def kept(self) -> Kept:
        """What it holds."""
        ...

    def clear(self) -> int:
        """Forget everything; how many outputs."""
        ...


def open_cache(settings: Settings, database: Database, complain: Callable[[str], object] = lambda _text: None) -> Cache:
    """Open the memory that the configuration names.

    Parameters
    ----------
    complain : callable
        Told when Redis does not answer.

    Raises
    ------
    ConfigError
        Redis is asked for and its client is not installed.
    """
    if not settings.redis.url:
        return DatabaseCache(database, settings.cache.entries, settings.cache.ttl_s)
    try:
        from redis import Redis, RedisError  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise ConfigError("redis.url needs the redis client", hint="pip install 'cxrd[redis]'") from None
    client = Redis.from_url(settings.redis.url, socket_timeout=2, socket_connect_timeout=2)
    return RedisCache(client, RedisError, settings.cache.ttl_s if settings.cache.entries else 0.0, complain)


class DatabaseCache:
    """A table of the database.

    Parameters
    ----------
    entries : int
        Outputs kept at most; the oldest go first.
    ttl_s : float
        Seconds that one is kept.
    """

    def __init__(self, database: Database, entries: int, ttl_s: float) -> None:
        self._database = database
        self._entries = entries
        self._ttl_s = ttl_s

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that are there and young enough."""
        with self._database.read() as connection:
            young = _r.at > self._database.now(connection) - self._ttl_s
            rows = connection.execute(select(_r.name, _r.value).where(_r.name.in_(names), young))
            return {str(name): bytes(value) for name, value in rows}

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep them, and let go what is too old or too much."""
        if not entries or not self._entries:
            return
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = [{"name": name, "at": now, "value": value} for name, value in entries.items()]
            added = jobs.dialect_insert(connection, schema.remembered)
            again = {"at": added.excluded.at, "value": added.excluded.value}
            connection.execute(added.on_conflict_do_update(index_elements=["name"], set_=again), rows)
            connection.execute(delete(schema.remembered).where(_r.at <= now - self._ttl_s))
            youngest = select(_r.name).order_by(_r.at.desc(), _r.name).limit(self._entries)
            many = connection.execute(select(func.count()).select_from(schema.remembered)).scalar_one()
            if many > self._entries:
                connection.execute(delete(schema.remembered).where(_r.name.not_in(youngest)))

    def kept(self) -> Kept:
        """What the table holds."""
        with self._database.read() as connection:
            row = connection.execute(select(func.count(), func.coalesce(func.sum(func.length(_r.value)), 0))).one()
        return Kept("database", int(row[0]), int(row[1]))

    def clear(self) -> int:
        """Empty the table."""
        with self._database.write() as connection:
            return connection.execute(delete(schema.remembered)).rowcount


class RedisCache:
    """Keys of a Redis server, which lets them go by itself; a server that is away remembers nothing.

    Parameters
    ----------
    client : redis.Redis
        Its connection.
    trouble : type
        What the client raises.
    ttl_s : float
        Seconds that an output is kept; 0 keeps none.
    complain : callable
        Told when the server does not answer.
    """

    def __init__(self, client: Any, trouble: type[Exception], ttl_s: float, complain: Callable[[str], object]) -> None:
        self._client = client
        self._trouble = trouble
        self._ttl_s = ttl_s
        self._complain = complain

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that are there."""
        if not names:
            return {}
        nothing: list[bytes | None] = []
        values = self._asked(lambda: self._client.mget([PREFIX + name for name in names]), nothing)
        return {name: bytes(value) for name, value in zip(names, values, strict=False) if value is not None}

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep them until their time is over."""

        def send() -> None:
            with self._client.pipeline(transaction=False) as pipe:
                for name, value in entries.items():
                    pipe.set(PREFIX + name, value, px=round(self._ttl_s * 1000))
                pipe.execute()

        if entries and self._ttl_s:
            self._asked(send, None)

    def kept(self) -> Kept:
        """Count our keys and their bytes."""
        keys = self._asked(self._keys, list[bytes]())
        return Kept(
            "redis", len(keys), sum(self._asked(lambda: [self._client.strlen(key) for key in keys], list[int]()))
        )

    def clear(self) -> int:
        """Remove our keys."""
        keys = self._asked(self._keys, list[bytes]())
        return int(self._asked(lambda: self._client.delete(*keys), 0)) if keys else 0

    def _keys(self) -> list[bytes]:
        return list(self._client.scan_iter(match=f"{PREFIX}*", count=1000))

    def _asked(self, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except self._trouble as error:
            self._complain(f"Redis does not answer, nothing is remembered: {type(error).__name__}")
            return otherwise
