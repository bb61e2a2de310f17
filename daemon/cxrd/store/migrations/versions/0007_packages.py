"""Stages of model packages, answers of models that only look on, and what each worker has loaded.

Only additions with defaults: a worker of the version before goes on, takes the highest version as it did, and
writes observations that count as an active model's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, its two rules and the columns."""
    op.create_table(
        "package",
        sa.Column("model", sa.String(32), primary_key=True),
        sa.Column("version", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("follows", sa.String(32), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
    )
    for stage in ("active", "shadow"):
        there = sa.text(f"stage = '{stage}'")
        op.create_index(
            f"package_{stage}", "package", ["model"], unique=True, sqlite_where=there, postgresql_where=there
        )
    op.add_column("observation", sa.Column("stage", sa.String(16), nullable=False, server_default="active"))
    op.add_column("observation", sa.Column("film", sa.String(64), nullable=False, server_default=""))
    op.add_column("worker", sa.Column("runs", sa.JSON))
