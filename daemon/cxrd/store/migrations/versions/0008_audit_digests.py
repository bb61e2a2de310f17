"""A hash of each audit row as it was written, so that a verification can name the row that was changed.

Only an addition: rows of the version before have none, and are judged by their seal alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("audit", sa.Column("digest", sa.String(64)))
