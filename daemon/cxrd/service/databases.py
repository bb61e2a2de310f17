"""Where a node's database is, and how a command opens it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from cxrd.errors import ConfigError
from cxrd.settings import Settings
from cxrd.store.database import Database


def sqlite_file(url: str) -> Path | None:
    """Path of an embedded database, None for a server."""
    parsed = make_url(url)
    return Path(parsed.database or "").absolute() if parsed.get_backend_name() == "sqlite" else None


def existing(url: str) -> Database:
    """Open the database for a command that looks after a node: it makes none, and works on no other version's.

    Raises
    ------
    ConfigError
        There is none: mostly another configuration was meant.
    StoreError
        It does not answer, or its schema is another version's.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise ConfigError(
            f"there is no database {file}",
            hint="name the node's configuration with --config; cxrd db upgrade makes a new one",
        )
    database = Database(url)
    database.check_schema()
    return database


def open_database(settings: Settings) -> Database:
    """Open the database for a command that writes; an embedded one is made where there is none.

    Raises
    ------
    StoreError
        It does not answer, or its schema is another version's.
    """
    file = sqlite_file(settings.database.url)
    database = Database(settings.database.url)
    if file is not None and not file.exists():
        database.upgrade()
    database.check_schema()
    return database
