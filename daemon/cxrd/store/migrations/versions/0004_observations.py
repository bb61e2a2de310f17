"""What models saw and said of each film, in a few numbers, for drift.

Only an addition: a worker of the version before writes no observation, and drift looks at the films of the others.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "observation",
        sa.Column("id", key, primary_key=True),
        sa.Column("inference_id", key, sa.ForeignKey("inference.id"), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("seen", sa.JSON, nullable=False),
    )
    op.create_index("ix_observation_inference_id", "observation", ["inference_id"])
