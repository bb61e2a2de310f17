"""Objects of ours that outlived their rows: what a restored database has forgotten.

Only an addition: a worker of the version before builds such an object anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "remnant",
        sa.Column("sop_uid", sa.String(64), primary_key=True),
        sa.Column("dest", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("found_at", sa.Double, nullable=False),
    )
    op.create_index("ix_remnant_sha256", "remnant", ["sha256"])
