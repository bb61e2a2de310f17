"""One write choke point over SQLite or PostgreSQL (engine.md §4).

SQLite: every write transaction holds an flock on a descriptor of its own and begins IMMEDIATE, in WAL mode
with ``synchronous=FULL``. That bounds the wait of the last writer in line and keeps two connections from
checkpointing at once (the WAL-reset fault of SQLite before 3.51.3). Network filesystems are refused, since
WAL needs shared memory. PostgreSQL: ordinary transactions, and its clock is everybody's clock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from cxrd.errors import ConfigError, StoreError, Unstorable
from cxrd.store.volume import room

MIGRATIONS = Path(__file__).parent / "migrations"
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre"}
)
POSTGRES_CONNECTION = {  # libpq's own words; what database.url says wins
    "connect_timeout": 10,
    "options": "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    # a host that is cut off must not wait a quarter of an hour for an answer, which is TCP's own patience
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


class Database:
    """The queue and the truth.

    Parameters
    ----------
    url : str
        ``sqlite:///path`` or ``postgresql+psycopg://…``.
    clock : callable
        Epoch seconds; used for SQLite only.

    Raises
    ------
    ConfigError
        The SQLite file would lie on a network filesystem.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        parsed = make_url(url)
        self._lock: Path | None = None
        if parsed.get_backend_name() == "sqlite":
            file = Path(parsed.database or "cxrd.db").absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            refuse_network_filesystem(file.parent, Path("/proc/mounts"))
            self._lock = file.with_name(file.name + ".lock")
            self.engine = create_engine(parsed, connect_args={"timeout": 30}, hide_parameters=True)
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            ours = {name: value for name, value in POSTGRES_CONNECTION.items() if name not in parsed.query}
            self.engine = create_engine(parsed, pool_pre_ping=True, connect_args=ours, hide_parameters=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one kind of transaction that changes anything; commits on leaving, rolls back on error.

        Raises
        ------
        StoreError
            The database does not answer or cannot write now.
        """
        with self._held(), _named(), self.engine.connect() as plain:
            connection = plain.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with _named(), self.engine.begin() as connection:
            yield connection

    def now(self, connection: Connection) -> float:
        """Epoch seconds of the clock that all workers of this database share."""
        if self._lock is not None:
            return self._clock()
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def free_bytes(self) -> float:
        """Free bytes on the volume of an embedded database; a server looks after its own."""
        return float("inf") if self._lock is None else room(self._lock.parent).free

    def upgrade(self) -> None:
        """Bring the schema to this version, or leave a newer one of the same generation as it is.

        Safe to call from several processes at once.

        Raises
        ------
        StoreError
            The schema is of another generation, which this version cannot work with.
        """
        with self._held(), _named(), self.engine.begin() as connection:
            if self._lock is None:
                # an index over millions of rows takes its time, and so does the wait for another host that makes it
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('cxrd migrations'))"))
            found = MigrationContext.configure(connection).get_current_revision()
            if found and _is_newer(found):
                _refuse_other_generation(found)
                return
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def check_schema(self) -> None:
        """Refuse a schema that this version cannot work with; a newer one of the same generation only has more in it.

        Raises
        ------
        StoreError
            Missing or older schema, another generation, or no answer.
        """
        with self.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found and _is_newer(found):
            _refuse_other_generation(found)
        elif found != _head():
            raise StoreError(
                f"the database schema is {found or 'empty'}, this version needs {_head()}",
                hint="run `cxrd db upgrade`",
            )

    def dispose(self) -> None:
        """Close every connection."""
        with self._held():
            self.engine.dispose()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the writers' lock on a fresh descriptor, so that threads exclude each other too."""
        if self._lock is None:
            yield
            return
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StoreError(
                f"the database folder cannot be written: {error.strerror}", hint="check the disk"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _head() -> str:
    """Revision that this version was written for: two digits of generation, two that count within it."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def _is_newer(found: str) -> bool:
    """Whether a newer version has upgraded the database: no migration of ours has that name."""
    return found not in {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _refuse_other_generation(found: str) -> None:
    """Within a generation migrations only add, so that workers of two versions can share a database."""
    if found[:2] != _head()[:2]:
        raise StoreError(
            f"the database schema {found} is of another generation than this version's {_head()}",
            hint="start the newer version that upgraded it, or restore the backup from before the upgrade",
        )


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise Unstorable(
            f"the database takes no such value: {_said(error)}", hint="report it: cxrd must not ask"
        ) from None
    except DBAPIError as error:
        raise StoreError(f"the database refused: {_said(error)}", hint="is it running, and is its disk full?") from None
    except SQLAlchemyError as error:
        raise StoreError(f"the database cannot be used: {error}", hint="is it running?") from error


def _said(error: DBAPIError) -> str:
    """The first line of a database's own words: in the next ones PostgreSQL quotes the row, a patient's perhaps."""
    return str(error.orig).partition("\n")[0]


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def refuse_network_filesystem(folder: Path, mounts: Path) -> None:
    """Refuse to keep SQLite where its locks are not to be trusted.

    Parameters
    ----------
    folder : Path
        Absolute directory of the database.
    mounts : Path
        Mount table in the format of proc(5) ``/proc/mounts``; nothing is refused where there is none.
    """
    if not mounts.exists():
        return
    folder = folder.resolve()  # a link leads to where the locks are taken
    found = ("", "")
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if (folder == Path(point) or Path(point) in folder.parents) and len(point) >= len(found[0]):
            found = (point, kind)
    if found[1] in NETWORK_FILESYSTEMS:
        raise ConfigError(
            f"SQLite in {folder} would lie on {found[1]}, a network filesystem",
            hint="keep it on a local disk, or use PostgreSQL",
        )
