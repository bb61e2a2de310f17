"""The first schema.

Written out and never changed again: later revisions expand, then contract, so that two versions of cxrd can
work on one database while an upgrade is under way.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "study",
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("first_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.Column("stat", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("accession", sa.String(64), nullable=False),
        sa.Column("patient_id", sa.String(64), nullable=False),
        sa.Column("study_date", sa.String(16), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "instance",
        sa.Column("sop_uid", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), sa.ForeignKey("study.uid"), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("transfer_syntax", sa.String(64), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("sop_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "job",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("dedupe", sa.String(200), nullable=False, unique=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("lane", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("payload_v", sa.Integer, nullable=False),
        sa.Column("err", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
    )
    op.create_table(
        "inference",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("study_uid", sa.String(64), sa.ForeignKey("study.uid"), nullable=False),
        sa.Column("input_digest", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("config_digest", sa.String(64), nullable=False),
        sa.Column("output", sa.JSON, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.UniqueConstraint("study_uid", "input_digest", "model_digest", "config_digest", name="inference_once"),
    )
    op.create_table(
        "artefact",
        sa.Column("sop_uid", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), sa.ForeignKey("study.uid"), nullable=False),
        sa.Column("inference_id", KEY, sa.ForeignKey("inference.id"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("built_at", sa.Double, nullable=False),
        sa.Column("supersedes", sa.String(64)),
    )
    op.create_table(
        "delivery",
        sa.Column("artefact_uid", sa.String(64), sa.ForeignKey("artefact.sop_uid"), primary_key=True),
        sa.Column("dest", sa.String(64), primary_key=True),
        sa.Column("first_sent_at", sa.Double),
        sa.Column("status_code", sa.Integer),
        sa.Column("stored_at", sa.Double),
        sa.Column("committed_at", sa.Double),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "dest",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("fails", sa.Integer, nullable=False),
        sa.Column("open_until", sa.Double, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("beat_at", sa.Double, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("seal_id", KEY),
    )
    op.create_table(
        "seal",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("root_hash", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("ix_study_state", "study", ["state"])
    op.create_index("ix_study_accession", "study", ["accession"])
    op.create_index("ix_instance_study_uid", "instance", ["study_uid"])
    op.create_index("ix_instance_sha256", "instance", ["sha256"])
    op.create_index("ix_quarantine_study_uid", "quarantine", ["study_uid"])
    op.create_index("ix_job_study_uid", "job", ["study_uid"])
    op.create_index("ix_artefact_study_uid", "artefact", ["study_uid"])
    op.create_index("ix_artefact_inference_id", "artefact", ["inference_id"])
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_index("ix_audit_seal_id", "audit", ["seal_id"])
    ready, leased, undelivered = sa.text("state = 'ready'"), sa.text("state = 'leased'"), sa.text("stored_at IS NULL")
    for name, table, columns, where in (
        ("job_ready", "job", ["kind", "priority", "due", "id"], ready),
        ("job_leased", "job", ["lease_until"], leased),
        ("delivery_open", "delivery", ["dest"], undelivered),
    ):
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
