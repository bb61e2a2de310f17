"""PostgreSQL cleans up behind the queue in time: every job's row is written about five times in its life.

By default a table of millions of rows is cleaned when a fifth of it is dead, and claims then walk over what is not.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Set the table's storage parameters."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE job SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01)")
