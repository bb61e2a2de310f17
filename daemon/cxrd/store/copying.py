"""Moves everything to another database: the way from SQLite to PostgreSQL, with every worker stopped.

Rows are copied as they are, parents first, in one transaction; leases are voided, since nobody holds them
any more. Counts are compared and the audit chain is verified on the other side before anything is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, Table, func, insert, select, text

from cxrd.errors import StoreError
from cxrd.store import audit, jobs, schema
from cxrd.store.database import Database

_BATCH = 1000
_LEFT_BEHIND = {"worker", "carrier", "remembered"}  # who works now, what is open now and a cache end with the old one


class Copied(NamedTuple):
    """What was moved.

    Attributes
    ----------
    rows : dict of str to int
        By table.
    seals : int
        Audit seals that hold on both sides.
    """

    rows: dict[str, int]
    seals: int


def copy(
    source: Database, target: Database, advance: Callable[[str, int], object] = lambda _table, _rows: None
) -> Copied:
    """Copy every table into an empty database of the same schema.

    Parameters
    ----------
    advance : callable
        Told of each table and how many more of its rows were copied.

    Raises
    ------
    StoreError
        The target holds rows, counts differ, or the audit chain does not hold.
    """
    source.check_schema()
    target.check_schema()
    tables = [table for table in schema.metadata.sorted_tables if table.name not in _LEFT_BEHIND]
    with source.read() as old, target.write() as new:
        filled = [table.name for table in tables if _count(new, table)]
        if filled:
            raise StoreError(
                f"the target database holds rows already ({', '.join(filled)})", hint="copy into an empty database"
            )
        for table in tables:
            _copy_table(old, new, table, advance)
        counts = {table.name: _count(old, table) for table in tables}
        differing = [name for name, count in counts.items() if count != _count(new, schema.metadata.tables[name])]
        if differing:
            raise StoreError(f"row counts differ in {', '.join(differing)}", hint="is a worker still running?")
        faults = audit.verify(new).faults
        if faults:
            raise StoreError(f"the audit chain does not hold after the copy: {faults[0]}", hint="cxrd audit verify")
        jobs.void_leases(new, target.now(new))
        return Copied(counts, counts["seal"])


def _copy_table(old: Connection, new: Connection, table: Table, advance: Callable[[str, int], object]) -> None:
    rows = old.execution_options(yield_per=_BATCH).execute(select(table))
    for part in rows.mappings().partitions(_BATCH):
        new.execute(insert(table), [dict(row) for row in part])
        advance(table.name, len(part))
    numbered = table.autoincrement_column
    if numbered is not None and new.dialect.name == "postgresql":
        # rows came with their numbers; the next one must not repeat them
        new.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{numbered.name}'), "  # noqa: S608 - our own names
                f"coalesce((SELECT max({numbered.name}) FROM {table.name}), 0) + 1, false)"
            )
        )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
