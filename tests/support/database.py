"""A database of each kind, made for one test and dropped after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, select, text
from sqlalchemy.exc import OperationalError

from cxrd.store.database import MIGRATIONS, Database

SERVER = os.environ.get("CXRD_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


@contextmanager
def postgres_url() -> Iterator[str]:
    """URL of a fresh PostgreSQL database; skips where no server answers."""
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name = f"cxrd_test_{uuid4().hex[:12]}"
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError as error:
        pytest.skip(f"needs PostgreSQL (apt-get install postgresql, or CXRD_TEST_POSTGRES): {error.orig}")
    try:
        yield str(engine.url.set(database=name))
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """URL of a fresh database of a kind, ``sqlite`` or ``postgresql``."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/cxrd.db"
    else:
        with postgres_url() as url:
            yield url


@contextmanager
def fresh(kind: str, folder: Path) -> Iterator[Database]:
    """A migrated database."""
    with database_url(kind, folder) as url:
        database = Database(url)
        database.upgrade()
        yield database
        database.dispose()


def migrate(database: Database, revision: str) -> None:
    """Bring a database to one revision, as the version that ended there did."""
    with database.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def as_before(database: Database, older: Database, revision: str) -> None:
    """Fill an empty database with what another holds, as far as the schema of a revision knows it."""
    migrate(older, revision)
    then, now = MetaData(), MetaData()
    then.reflect(older.engine)
    now.reflect(database.engine)
    with database.read() as source, older.write() as target:
        for table in then.sorted_tables:
            if table.name == "alembic_version":
                continue
            known = [now.tables[table.name].c[column.name] for column in table.columns]
            for row in source.execute(select(*known)):
                target.execute(table.insert().values(**row._mapping))
