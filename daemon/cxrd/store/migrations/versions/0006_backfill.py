"""Backfill: an archive's past, what became of each of its studies, and how often an archive may be asked.

Only additions: a worker of the version before fetches nothing, and leaves the jobs of the new kind alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables and columns."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("dest", sa.Column("kind", sa.String(16), nullable=False, server_default="deliver"))
    op.add_column("dest", sa.Column("next_at", sa.Double, nullable=False, server_default="0"))
    op.create_table(
        "backfill",
        sa.Column("id", key, primary_key=True),
        sa.Column("archive", sa.String(64), nullable=False),
        sa.Column("first_date", sa.String(8), nullable=False),
        sa.Column("last_date", sa.String(8), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
    )
    op.create_index("ix_backfill_archive", "backfill", ["archive"])
    op.create_table(
        "backfill_study",
        sa.Column("backfill_id", key, sa.ForeignKey("backfill.id"), primary_key=True),
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("study_date", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("expected", sa.Integer, nullable=False),
        sa.Column("stored", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("backfill_study_state", "backfill_study", ["backfill_id", "state", "at"])
