"""What child processes of a test do to a database."""

from __future__ import annotations

import os

from sqlalchemy import text

from cxrd.store.database import Database


def increment(url: str, times: int) -> None:
    """Add one to a study's revision, read and written in one transaction, again and again."""
    database = Database(url)
    for _ in range(times):
        with database.write() as connection:
            rev = connection.execute(
                text("SELECT rev FROM job FOR UPDATE" if "postgres" in url else "SELECT rev FROM job")
            )
            connection.execute(text("UPDATE job SET rev = :rev"), {"rev": rev.scalar_one() + 1})


def die_inside(url: str) -> None:
    """Die in the middle of a transaction."""
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE job SET rev = 1000"))
        os._exit(9)
