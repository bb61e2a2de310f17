"""Storage commitment: what was asked of a destination, by transaction UID.

Only an addition: a worker of the version before asks nothing, and leaves the jobs of the new kind alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "commitment",
        sa.Column("transaction_uid", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("inference_id", sa.BigInteger, nullable=False),
        sa.Column("dest", sa.String(64), nullable=False),
        sa.Column("objects", sa.JSON, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("answered_at", sa.Double),
        sa.Column("failed", sa.Integer, nullable=False),
    )
    op.create_index("ix_commitment_study_uid", "commitment", ["study_uid"])
    op.create_index("ix_commitment_inference_id", "commitment", ["inference_id"])
