"""Two neighbouring versions share one database: an upgrade is run first, and hosts follow one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, inspect, select, text
from sqlalchemy.sql.sqltypes import JSON, Boolean, DateTime, LargeBinary, String

from cxrd.errors import StoreError
from cxrd.store.database import MIGRATIONS, Database
from support.database import database_url, migrate

REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
PAIRS = list(pairwise(REVISIONS))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any schema."""
    with database_url(request.param, tmp_path) as url:
        made = Database(url)
        yield made
        made.dispose()


def tables(database: Database) -> list[Table]:
    """What there is now, parents before children."""
    metadata = MetaData()
    metadata.reflect(database.engine)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def value_of(column: Column[Any], number: int) -> Any:
    """Some value that a column takes."""
    kind = column.type
    if isinstance(kind, JSON) or "JSON" in str(kind).upper():
        return {"number": number}
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, LargeBinary):
        return b"x"
    if isinstance(kind, DateTime):
        return None
    return f"v{number}" if isinstance(kind, String) else number


def write_as_then(connection: Connection, then: list[Table], number: int) -> None:
    """Insert a row into each table with the columns that it had then, as a worker of that version does."""
    for table in then:
        row = {column.name: value_of(column, number) for column in table.columns}
        connection.execute(table.insert().values(row))


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_worker_of_the_version_before_goes_on_writing(empty: Database, before: str, after: str) -> None:
    """Rows from before an upgrade survive it, and rows as the older version makes them are taken after it."""
    migrate(empty, before)
    then = tables(empty)
    assert then
    with empty.write() as connection:
        write_as_then(connection, then, 1)
    migrate(empty, after)
    with empty.write() as connection:
        write_as_then(connection, then, 2)
    with empty.read() as connection:
        for table in then:
            assert 2 == len(connection.execute(select(table)).all()), table.name


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_an_upgrade_only_adds(empty: Database, before: str, after: str) -> None:
    """No table, column or type goes away within a generation, or the older version's reads would fail."""

    def shape() -> dict[tuple[str, str], str]:
        found = inspect(empty.engine)
        names = [name for name in found.get_table_names() if name != "alembic_version"]
        return {(name, column["name"]): str(column["type"]) for name in names for column in found.get_columns(name)}

    migrate(empty, before)
    older = shape()
    migrate(empty, after)
    assert older.items() <= shape().items()


def test_a_newer_schema_of_this_generation_is_worked_with_and_left_alone(empty: Database) -> None:
    """A host that is not upgraded yet may restart its workers."""
    empty.upgrade()
    newer = f"{REVISIONS[-1][:2]}99"
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": newer})
    empty.check_schema()
    empty.upgrade()
    with empty.read() as connection:
        assert newer == connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


@pytest.mark.parametrize("act", [Database.check_schema, Database.upgrade])
def test_another_generation_is_named(empty: Database, act: Any) -> None:
    """A version that went back does not write into what it cannot know."""
    empty.upgrade()
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9901'"))
    with pytest.raises(StoreError, match="another generation"):
        act(empty)
