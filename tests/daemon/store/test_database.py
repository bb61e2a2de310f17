"""One choke point for writing, on both databases."""

from __future__ import annotations

import multiprocessing
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from cxrd.errors import ConfigError, StoreError
from cxrd.store import schema
from cxrd.store.database import Database, refuse_network_filesystem
from support.database import database_url, postgres_url
from support.rows import arrive, rows
from support.writers import die_inside, increment

SPAWN = multiprocessing.get_context("spawn")


def url_of(database: Database) -> str:
    """URL with everything a child needs."""
    return database.engine.url.render_as_string(hide_password=False)


def test_the_migrations_make_what_the_code_expects(database: Database) -> None:
    """No column that only one of them knows."""
    with database.read() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), schema.metadata)
    database.check_schema()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_empty_database_is_named(kind: str, tmp_path: Path) -> None:
    """And the message says how to make it one."""
    with database_url(kind, tmp_path) as url:
        empty = Database(url)
        with pytest.raises(StoreError, match="cxrd db upgrade"):
            empty.check_schema()
        empty.dispose()


def test_an_upgrade_twice_is_no_upgrade(database: Database) -> None:
    """Safe to run at every start."""
    database.upgrade()
    database.check_schema()


def test_an_upgrade_may_take_longer_than_a_statement() -> None:
    """On PostgreSQL: its own statements, and the wait for another host that is upgrading; then the limit is back."""
    with postgres_url() as url, ThreadPoolExecutor() as other:
        limited = Database(f"{url}?options=-c%20statement_timeout%3D500")
        holder = create_engine(url)
        with holder.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(hashtext('cxrd migrations'))"))
            upgrading = other.submit(limited.upgrade)
            wait([upgrading], 1.5)
        holder.dispose()
        upgrading.result(60)
        limited.check_schema()
        assert [("500ms",)] == rows(limited, "SHOW statement_timeout")
        limited.dispose()


def test_an_error_inside_rolls_everything_back(database: Database) -> None:
    """Half a step is no step."""
    arrive(database)
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.execute(text("UPDATE job SET rev = 1000"))
        raise RuntimeError
    assert [(1,)] == rows(database, "SELECT rev FROM job")


def test_writers_in_several_processes_lose_nothing(database: Database) -> None:
    """Four at once, each reading before it writes."""
    arrive(database)
    children = [SPAWN.Process(target=increment, args=(url_of(database), 50)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    assert [0] * 4 == [child.exitcode for child in children]
    assert [(201,)] == rows(database, "SELECT rev FROM job")


def test_a_process_that_dies_inside_a_transaction_leaves_nothing(database: Database) -> None:
    """Neither half a write nor a lock."""
    arrive(database)
    child = SPAWN.Process(target=die_inside, args=(url_of(database),))
    child.start()
    child.join(timeout=60)
    assert 9 == child.exitcode
    with database.write() as connection:
        connection.execute(text("UPDATE job SET rev = rev + 1"))
    assert [(2,)] == rows(database, "SELECT rev FROM job")


def test_a_server_that_is_away_is_a_store_error() -> None:
    """Retryable, with a hint, and never a driver's own exception."""
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreError, match="is it running"), away.read():
        pass


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ("/dev/sda1 / ext4 rw 0 0\n", False),
        ("/dev/sda1 / ext4 rw 0 0\nnas:/x /srv nfs4 rw 0 0\n", True),
        ("nas:/x / nfs4 rw 0 0\n/dev/sdb1 /srv/db ext4 rw 0 0\n", False),
        ("/dev/sda1 / ext4 rw 0 0\n//nas/x /srv/db cifs rw 0 0\n", True),
    ],
)
def test_sqlite_stays_off_network_filesystems(tmp_path: Path, mounts: str, refused: bool) -> None:  # noqa: FBT001
    """Its locks cannot be trusted there; the innermost mount decides."""
    table = tmp_path / "mounts"
    table.write_text(mounts)
    if refused:
        with pytest.raises(ConfigError, match="network filesystem"):
            refuse_network_filesystem(Path("/srv/db"), table)
    else:
        refuse_network_filesystem(Path("/srv/db"), table)


def test_a_link_to_a_network_filesystem_is_followed(tmp_path: Path) -> None:
    """What counts is where the file lies, not what the path to it is called."""
    share, link, table = tmp_path / "share", tmp_path / "link", tmp_path / "mounts"
    share.mkdir()
    link.symlink_to(share)
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nnas:/x {share} nfs4 rw 0 0\n")
    with pytest.raises(ConfigError, match="network filesystem"):
        refuse_network_filesystem(link, table)


def test_an_error_tells_no_value_of_a_statement(database: Database) -> None:
    """Errors end in the log with those that caused them, and rows hold patients."""
    row = {"it": "MUELLER"}
    with pytest.raises(StoreError) as caught, database.write() as connection:
        connection.execute(text("INSERT INTO nowhere (patient_id) VALUES (:it)"), row)
    told = "".join(traceback.format_exception(caught.value))
    assert "nowhere" in told
    assert "MUELLER" not in told


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_an_error_quotes_no_row(database: Database) -> None:
    """PostgreSQL adds the whole row that it refused, with its patient; it goes into logs and on the page."""
    arrive(database)
    with pytest.raises(StoreError) as caught, database.write() as connection:
        connection.execute(text("UPDATE study SET patient_id = :it, state = NULL"), {"it": "DOE-4711"})
    told = "".join(traceback.format_exception(caught.value))
    assert "not-null" in told
    assert "DOE-4711" not in told
