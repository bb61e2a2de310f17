"""Lanes in the claim's index, jobs that are not due for long, associations that still carry a study.

Only additions: a worker of the version before claims by the old index and knows no delayed job or carrier.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; the old index goes with the next revision."""
    ready, delayed = sa.text("state = 'ready'"), sa.text("state = 'delayed'")
    op.create_index(
        "job_next",
        "job",
        ["kind", "lane", "priority", "due", "id"],
        sqlite_where=ready,
        postgresql_where=ready,
    )
    op.create_index("job_delayed", "job", ["due"], sqlite_where=delayed, postgresql_where=delayed)
    op.create_table(
        "carrier",
        sa.Column("association", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("quiet_period_s", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_index("ix_carrier_study_uid", "carrier", ["study_uid"])
    op.drop_index("job_ready", "job")
