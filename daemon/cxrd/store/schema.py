"""The tables, and the words their state columns hold (engine.md §5)."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)


class JobKind(StrEnum):
    """Stages that a study passes by way of the queue."""

    INFER = "infer"
    BUILD = "build"
    DELIVER = "deliver"
    COMMITMENT = "commitment"
    FETCH = "fetch"


class JobState(StrEnum):
    """ready → leased → done, back to ready on failure, or dead until an operator revives or dismisses it.

    What is not due for long is delayed: the claim never walks over it, and ``tick`` makes it ready in time. What is
    dismissed is waited for by nobody, and can be revived too.
    """

    DELAYED = "delayed"
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    DISMISSED = "dismissed"


class StudyState(StrEnum):
    """How far a study has come; the last four are ends."""

    RECEIVED = "received"
    ANALYSED = "analysed"
    REPORTED = "reported"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    DISMISSED = "dismissed"


FINISHED = (StudyState.DELIVERED, StudyState.REFUSED, StudyState.DISMISSED)
"""Ends that wait for nobody."""


class BackfillState(StrEnum):
    """Whether an archive's past is still being fetched; whether it rests now is a matter of its lane."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class FetchState(StrEnum):
    """What became of one study of a backfill."""

    WAITING = "waiting"
    COMPLETE = "complete"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InstanceState(StrEnum):
    """What became of one image."""

    RECEIVED = "received"
    ADMITTED = "admitted"
    REFUSED = "refused"


metadata = MetaData()
_key = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself

study = Table(
    "study",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False, index=True),
    Column("stat", Boolean, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("accession", String(64), nullable=False, index=True),
    Column("patient_id", String(64), nullable=False),
    Column("study_date", String(16), nullable=False),
    Column("source", String(64), nullable=False),
    Column("reason", Text, nullable=False),
)

instance = Table(
    "instance",
    metadata,
    Column("sop_uid", String(64), primary_key=True),
    Column("study_uid", String(64), ForeignKey("study.uid"), nullable=False, index=True),
    Column("series_uid", String(64), nullable=False),
    Column("sop_class", String(64), nullable=False),
    Column("transfer_syntax", String(64), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("source", String(64), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("received_at", Double, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("removed_at", Double),  # the bytes may go; the row stays
    Index("instance_kept", "received_at", sqlite_where=text("removed_at IS NULL"),
          postgresql_where=text("removed_at IS NULL")),
)  # fmt: skip

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _key, primary_key=True),
    Column("at", Double, nullable=False),
    Column("sop_uid", String(64), nullable=False),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("source", String(64), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", _key, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("dedupe", String(200), nullable=False, unique=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("lane", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due", Double, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("lease_until", Double),
    Column("payload", JSON, nullable=False),
    Column("payload_v", Integer, nullable=False),
    Column("err", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Index(
        "job_next", "kind", "lane", "priority", "due", "id",
        sqlite_where=text("state = 'ready'"), postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "job_delayed", "due",
        sqlite_where=text("state = 'delayed'"), postgresql_where=text("state = 'delayed'"),
    ),
    Index(
        "job_leased", "lease_until",
        sqlite_where=text("state = 'leased'"), postgresql_where=text("state = 'leased'"),
    ),
    Index(
        "job_done", "finished_at",
        sqlite_where=text("state = 'done'"), postgresql_where=text("state = 'done'"),
    ),
)  # fmt: skip

inference = Table(
    "inference",
    metadata,
    Column("id", _key, primary_key=True),
    Column("study_uid", String(64), ForeignKey("study.uid"), nullable=False),
    Column("input_digest", String(64), nullable=False),
    Column("model_digest", String(64), nullable=False),
    Column("config_digest", String(64), nullable=False),
    Column("output", JSON, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("study_uid", "input_digest", "model_digest", "config_digest", name="inference_once"),
)

preview = Table(
    "preview",
    metadata,
    Column("inference_id", _key, ForeignKey("inference.id"), primary_key=True),
    Column("sop_uid", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
)

observation = Table(
    "observation",
    metadata,
    Column("id", _key, primary_key=True),
    Column("inference_id", _key, ForeignKey("inference.id"), nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("seen", JSON, nullable=False),
    Column("stage", String(16), nullable=False, server_default="active"),
    Column("film", String(64), nullable=False, server_default=""),
)

package = Table(
    "package",
    metadata,
    Column("model", String(32), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("follows", String(32), nullable=False),
    Column("since", Double, nullable=False),
    # one version answers for a model, and one looks on
    Index("package_active", "model", unique=True, sqlite_where=text("stage = 'active'"),
          postgresql_where=text("stage = 'active'")),
    Index("package_shadow", "model", unique=True, sqlite_where=text("stage = 'shadow'"),
          postgresql_where=text("stage = 'shadow'")),
)  # fmt: skip

artefact = Table(
    "artefact",
    metadata,
    Column("sop_uid", String(64), primary_key=True),
    Column("study_uid", String(64), ForeignKey("study.uid"), nullable=False, index=True),
    Column("inference_id", _key, ForeignKey("inference.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("sop_class", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("built_at", Double, nullable=False),
    Column("supersedes", String(64)),
    Column("removed_at", Double),  # as of an instance
    Index("artefact_kept", "built_at", sqlite_where=text("removed_at IS NULL"),
          postgresql_where=text("removed_at IS NULL")),
)  # fmt: skip

doomed = Table(  # payload bytes that retention will remove unless a row names them by then
    "doomed",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("at", Double, nullable=False, index=True),
)

delivery = Table(
    "delivery",
    metadata,
    Column("artefact_uid", String(64), ForeignKey("artefact.sop_uid"), primary_key=True),
    Column("dest", String(64), primary_key=True),
    Column("first_sent_at", Double),
    Column("status_code", Integer),
    Column("stored_at", Double),
    Column("committed_at", Double),
    Column("error", Text, nullable=False),
    Index("delivery_open", "dest", sqlite_where=text("stored_at IS NULL"), postgresql_where=text("stored_at IS NULL")),
)

commitment = Table(  # storage commitment that was asked of a destination
    "commitment",
    metadata,
    Column("transaction_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("inference_id", BigInteger, nullable=False, index=True),
    Column("dest", String(64), nullable=False),
    Column("objects", JSON, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("answered_at", Double),
    Column("failed", Integer, nullable=False),
)

remnant = Table(  # objects of ours that outlived their rows; the destination is "" for our own payload store
    "remnant",
    metadata,
    Column("sop_uid", String(64), primary_key=True),
    Column("dest", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("found_at", Double, nullable=False),
)

dest = Table(
    "dest",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("kind", String(16), nullable=False, server_default="deliver"),
    Column("fails", Integer, nullable=False),
    Column("open_until", Double, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("next_at", Double, nullable=False, server_default="0"),
    Column("seen_at", Double, nullable=False, server_default="0"),  # when a deliver role last said that it sends there
)

backfill = Table(
    "backfill",
    metadata,
    Column("id", _key, primary_key=True),
    Column("archive", String(64), nullable=False, index=True),
    Column("first_date", String(8), nullable=False),
    Column("last_date", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
)

backfill_study = Table(
    "backfill_study",
    metadata,
    Column("backfill_id", _key, ForeignKey("backfill.id"), primary_key=True),
    Column("study_uid", String(64), primary_key=True),
    Column("study_date", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("expected", Integer, nullable=False),
    Column("stored", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Double, nullable=False),
    Index("backfill_study_state", "backfill_id", "state", "at"),
)

carrier = Table(
    "carrier",
    metadata,
    Column("association", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("quiet_period_s", Double, nullable=False),
    Column("until", Double, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("beat_at", Double, nullable=False),
    Column("runs", JSON),  # of an infer role: the packages it has loaded, or could not
)

audit = Table(
    "audit",
    metadata,
    Column("id", _key, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", String(200), nullable=False, index=True),
    Column("detail", JSON, nullable=False),
    Column("seal_id", _key, index=True),
    Column("digest", String(64)),  # of the row as it was written; none before that was noted
)

seal = Table(
    "seal",
    metadata,
    Column("id", _key, primary_key=True),
    Column("prev_hash", String(64), nullable=False),
    Column("root_hash", String(64), nullable=False),
    Column("at", Double, nullable=False),
)

remembered = Table(  # what models said of inputs, by a name that covers both: may be emptied at any time
    "remembered",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("value", LargeBinary, nullable=False),
)
