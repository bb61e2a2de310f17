"""When a lane was last served, and indexes for the look for files without rows.

Only additions: a process of the version before leaves ``seen_at`` at 0, which counts as it did before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("dest", sa.Column("seen_at", sa.Double, nullable=False, server_default="0"))
    op.create_index("ix_artefact_sha256", "artefact", ["sha256"])
    op.create_index("ix_quarantine_sha256", "quarantine", ["sha256"])
