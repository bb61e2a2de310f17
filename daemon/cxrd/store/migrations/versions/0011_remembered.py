"""What models said of uploaded films, and an index for the newest studies.

Only additions: a process of the version before never looks at either.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the index."""
    op.create_table(
        "remembered",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_remembered_at", "remembered", ["at"])
    op.create_index("ix_study_last_at", "study", ["last_at"])
