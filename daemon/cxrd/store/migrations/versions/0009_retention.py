"""What retention needs: when bytes were removed, which analysis shows which preview, which files are to go.

Only additions. Previews were named inside the analyses alone; each gets a row. A worker of the version before writes
none, so its previews stay for ever, and nothing of others is taken for them.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, tables and indexes; give each preview its row."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    for table, order in (("instance", "received_at"), ("artefact", "built_at")):
        op.add_column(table, sa.Column("removed_at", sa.Double))
        kept = sa.text("removed_at IS NULL")
        op.create_index(f"{table}_kept", table, [order], sqlite_where=kept, postgresql_where=kept)
    done = sa.text("state = 'done'")
    op.create_index("job_done", "job", ["finished_at"], sqlite_where=done, postgresql_where=done)
    op.create_table(
        "preview",
        sa.Column("inference_id", key, sa.ForeignKey("inference.id"), primary_key=True),
        sa.Column("sop_uid", sa.String(64), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
    )
    op.create_table(
        "doomed",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("at", sa.Double, nullable=False, index=True),
    )
    connection, last = op.get_bind(), 0
    preview = sa.table("preview", sa.column("inference_id"), sa.column("sop_uid"), sa.column("sha256"))
    some = sa.text("SELECT id, output FROM inference WHERE id > :last ORDER BY id LIMIT 500")
    while part := connection.execute(some, {"last": last}).all():
        if rows := [row for inference_id, output in part for row in _previews(inference_id, output)]:
            connection.execute(preview.insert(), rows)
        last = part[-1][0]


def _previews(inference_id: int, output: Any) -> Iterator[dict[str, Any]]:
    told = json.loads(output) if isinstance(output, str) else output
    for film in told.get("films", ()):
        if film.get("preview"):
            yield {"inference_id": inference_id, "sop_uid": film["film"]["sop_uid"], "sha256": film["preview"]}
