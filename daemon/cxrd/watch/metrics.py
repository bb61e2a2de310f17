"""Every Prometheus name of cxrd, in one table, and the three verbs that write them.

Base units, bounded labels, nothing about a patient. Each role is a process of its own; when the
supervisor sets ``PROMETHEUS_MULTIPROC_DIR`` for its children, their values meet in that directory and the
``web`` role serves the sum. Values that a query can tell (queue depth, ages, disk) are read from the store
at scrape time, so they are right even when the process that caused them is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import values as kept


class Kind(StrEnum):
    """Prometheus metric types that cxrd uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    QUERY = "query"  # a gauge read from the store at scrape time


class Metric(NamedTuple):
    """One name: its type, labels and meaning; ``buckets`` for histograms."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TURNAROUND = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
SCORES = tuple(x / 10 for x in range(1, 11))
SIZES = (1, 2, 4, 8, 16, 32, 64)

ASSOCIATIONS = Metric(
    "cxrd_associations_total", Kind.COUNTER, ("source", "outcome"), "Associations asked of the listener."
)
HANDSHAKES_FAILED = Metric(
    "cxrd_tls_handshake_failures_total", Kind.COUNTER, ("reason",), "TLS handshakes with callers that failed."
)
CERTIFICATE_EXPIRY = Metric(
    "cxrd_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    ("which",),
    "When a certificate in use ends, Unix time; 0 when its files cannot be used.",
)
INSTANCES = Metric(
    "cxrd_instances_received_total", Kind.COUNTER, ("source", "outcome"), "C-STORE requests by what became of them."
)
RECEIVED_BYTES = Metric("cxrd_received_bytes_total", Kind.COUNTER, (), "Bytes of objects made durable.")
REFUSED = Metric("cxrd_images_refused_total", Kind.COUNTER, ("reason",), "Images that no model may judge, by reason.")
CORRECTED = Metric(
    "cxrd_images_corrected_total",
    Kind.COUNTER,
    ("reason",),
    "Images analysed otherwise than their header says, by reason.",
)
STAGE = Metric(
    "cxrd_stage_duration_seconds",
    Kind.HISTOGRAM,
    ("stage",),
    "Time in one stage: decode, preprocess, infer, build, deliver.",
    SECONDS,
)
TURNAROUND_SECONDS = Metric(
    "cxrd_study_turnaround_seconds",
    Kind.HISTOGRAM,
    (),
    "Last C-STORE of a study to its SR accepted by a destination.",
    TURNAROUND,
)
BATCH = Metric("cxrd_inference_batch_size", Kind.HISTOGRAM, ("model",), "Films in one run of a model.", SIZES)
MODEL_DURATION = Metric(
    "cxrd_model_duration_seconds", Kind.HISTOGRAM, ("model",), "Time of one run of a model.", SECONDS
)
SCORE = Metric("cxrd_finding_score", Kind.HISTOGRAM, ("model", "finding"), "Probabilities given, 0 to 1.", SCORES)
POSITIVE = Metric("cxrd_positive_total", Kind.COUNTER, ("model", "finding"), "Findings above their threshold.")
DELIVERIES = Metric(
    "cxrd_deliveries_total", Kind.COUNTER, ("destination", "outcome"), "Objects sent, by what the destination answered."
)
COMMITMENTS = Metric(
    "cxrd_commitments_total",
    Kind.COUNTER,
    ("destination", "outcome"),
    "Objects that a destination was asked to commit, by what it answered.",
)
DESTINATION_UP = Metric("cxrd_destination_up", Kind.GAUGE, ("destination",), "1 when the last C-ECHO was answered.")
GATE_FILMS = Metric("cxrd_gate_films_total", Kind.COUNTER, ("model",), "Films that a gated ensemble judged.")
GATE_SECOND = Metric(
    "cxrd_gate_second_total", Kind.COUNTER, ("model",), "Films that an ensemble's second graph was asked about."
)
MODEL_INFO = Metric(
    "cxrd_model_info",
    Kind.GAUGE,
    ("model", "version", "digest", "stage", "provider"),
    "1 for each model that is loaded now, 0 for one that was; the stage is active or shadow.",
)
MODEL_MISSING = Metric(
    "cxrd_model_missing_info",
    Kind.GAUGE,
    ("model", "version", "stage"),
    "1 for each model that should be loaded here and cannot be; what was loaded before goes on.",
)
SHADOW_SCORE = Metric(
    "cxrd_shadow_score", Kind.HISTOGRAM, ("model", "finding"), "Probabilities that shadow models gave, 0 to 1.", SCORES
)
SHADOW_POSITIVE = Metric(
    "cxrd_shadow_positive_total", Kind.COUNTER, ("model", "finding"), "Findings of shadow models above their threshold."
)
SHADOW_COMPARED = Metric(
    "cxrd_shadow_compared_total",
    Kind.COUNTER,
    ("model", "finding", "outcome"),
    "Answers of shadow models that agree with, or differ from, those of the active ones.",
)
SHADOW_FAILED = Metric(
    "cxrd_shadow_failed_total", Kind.COUNTER, ("model",), "Batches that a shadow model could not judge."
)
DRIFT = Metric(
    "cxrd_drift_psi", Kind.GAUGE, ("model", "finding"), "Shift of a finding's scores against the package's test films."
)
SOURCE_DRIFT = Metric(
    "cxrd_source_drift_psi",
    Kind.GAUGE,
    ("model", "source"),
    "Largest score shift of any finding on films of a source.",
)
INPUT_DRIFT = Metric(
    "cxrd_input_drift_psi",
    Kind.GAUGE,
    ("model", "source", "statistic"),
    "Shift of what a model sees of one source, brightness or contrast, against the package's test films.",
)
DRIFT_FILMS = Metric("cxrd_drift_films", Kind.GAUGE, ("model", "source"), "Films that the drift figures look at.")
REFERENCE_POSITIVE = Metric(
    "cxrd_reference_positive_ratio",
    Kind.GAUGE,
    ("model", "finding"),
    "Share of the package's test films at or above the threshold in force.",
)
UPLOADS = Metric(
    "cxrd_uploaded_films_total", Kind.COUNTER, ("outcome",), "Films uploaded to be judged: admitted, refused or failed."
)
CACHE = Metric(
    "cxrd_cache_requests_total", Kind.COUNTER, ("outcome",), "Outputs of models looked for in the cache: hit or miss."
)
RESTARTS = Metric("cxrd_worker_restarts_total", Kind.COUNTER, ("role",), "Children that the supervisor started again.")

REMOVED = Metric(
    "cxrd_retention_removed_total",
    Kind.COUNTER,
    ("what",),
    "Films, previews and objects of finished studies whose bytes were given up, and rows of jobs, by retention.",
)
REMOVED_BYTES = Metric(
    "cxrd_retention_removed_bytes_total", Kind.COUNTER, (), "Bytes of films and objects that retention gave up."
)

STUDIES = Metric("cxrd_studies", Kind.QUERY, ("state",), "Studies by state.")
QUEUE_JOBS = Metric("cxrd_queue_jobs", Kind.QUERY, ("kind", "state"), "Jobs by kind and state.")
OLDEST_JOB = Metric(
    "cxrd_oldest_job_age_seconds", Kind.QUERY, ("kind",), "Age of the oldest unfinished job that is due."
)
OLDEST_STUDY = Metric(
    "cxrd_oldest_study_age_seconds",
    Kind.QUERY,
    ("state",),
    "Time since the last image of the oldest study in a state that is no end.",
)
STORE_UP = Metric(
    "cxrd_store_up", Kind.QUERY, ("store",), "1 while the database answers, and the volume of the payloads does."
)
HEARTBEAT = Metric(
    "cxrd_heartbeat_age_seconds",
    Kind.QUERY,
    ("role",),
    "Age of each role's youngest heartbeat; +Inf where no worker of it is known.",
)
PAUSED = Metric(
    "cxrd_destination_paused",
    Kind.QUERY,
    ("destination",),
    "1 while an operator has paused sending to a destination.",
)
OLDEST_UNDELIVERED = Metric(
    "cxrd_oldest_undelivered_age_seconds",
    Kind.QUERY,
    ("destination",),
    "Age of the oldest result a destination has not taken and nobody has dismissed.",
)
OLDEST_UNCOMMITTED = Metric(
    "cxrd_oldest_uncommitted_age_seconds",
    Kind.QUERY,
    ("destination",),
    "Time since a destination was first to be asked about the oldest result that it has stored and not committed.",
)
LAST_INSTANCE = Metric(
    "cxrd_last_instance_timestamp_seconds",
    Kind.QUERY,
    ("source",),
    "When a watched source last sent an image, Unix time; 0 for one that never has.",
)
BACKFILL = Metric(
    "cxrd_backfill_studies",
    Kind.QUERY,
    ("archive", "state"),
    "Studies of each archive's newest backfill, by what became of them.",
)
SEAL_LAG = Metric("cxrd_audit_seal_lag_seconds", Kind.QUERY, (), "Age of the oldest audit row that no seal covers yet.")
SPOOL_FREE = Metric("cxrd_spool_free_bytes", Kind.QUERY, (), "Free bytes where payloads lie.")
SPOOL_SIZE = Metric("cxrd_spool_size_bytes", Kind.QUERY, (), "Size of the volume where payloads lie.")
SPOOL_WATERMARK = Metric(
    "cxrd_spool_watermark_bytes", Kind.QUERY, (), "Free bytes below which C-STORE is answered 0xA700."
)
BUILD_INFO = Metric(
    "cxrd_build_info", Kind.QUERY, ("version", "config"), "1 for the release that runs and the configuration in force."
)
RELOADED = Metric(
    "cxrd_config_last_reload_successful", Kind.QUERY, (), "1 unless the newest configuration was refused at a reload."
)

TABLE: tuple[Metric, ...] = (
    ASSOCIATIONS, HANDSHAKES_FAILED, CERTIFICATE_EXPIRY, INSTANCES, RECEIVED_BYTES, LAST_INSTANCE, REFUSED, CORRECTED,
    STUDIES, OLDEST_STUDY, QUEUE_JOBS, OLDEST_JOB, STAGE, TURNAROUND_SECONDS,
    BATCH, MODEL_DURATION, GATE_FILMS, GATE_SECOND, MODEL_INFO, MODEL_MISSING,
    SHADOW_SCORE, SHADOW_POSITIVE, SHADOW_COMPARED, SHADOW_FAILED,
    SCORE, POSITIVE, REFERENCE_POSITIVE, DRIFT, SOURCE_DRIFT, INPUT_DRIFT, DRIFT_FILMS,
    DELIVERIES, COMMITMENTS, DESTINATION_UP, PAUSED, OLDEST_UNDELIVERED, OLDEST_UNCOMMITTED,
    BACKFILL, UPLOADS, CACHE,
    STORE_UP, HEARTBEAT, RESTARTS, SEAL_LAG, REMOVED, REMOVED_BYTES, SPOOL_FREE, SPOOL_SIZE, SPOOL_WATERMARK,
    BUILD_INFO, RELOADED,
)  # fmt: skip


def keep_under(name: str) -> None:
    """Keep what this process counts under a name; whoever has the name next goes on counting where it ended.

    The library keeps it under the process id. A role that cannot start would leave files at each attempt, and each
    scrape would read them all.
    """
    if kept.ValueClass is not kept.MutexValue:  # several processes, one folder
        kept.ValueClass = kept.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


class Metrics:
    """The process's own metrics, created once by the composition root.

    Parameters
    ----------
    registry : CollectorRegistry or None
        Where they are registered; a new one when None.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        for metric in TABLE:
            match metric.kind:
                case Kind.COUNTER:
                    made: Counter | Gauge | Histogram = Counter(
                        metric.name, metric.meaning, metric.labels, registry=self.registry
                    )
                case Kind.GAUGE:
                    made = Gauge(
                        metric.name, metric.meaning, metric.labels, registry=self.registry, multiprocess_mode="livemax"
                    )
                case Kind.HISTOGRAM:
                    made = Histogram(
                        metric.name, metric.meaning, metric.labels, registry=self.registry, buckets=metric.buckets
                    )
                case Kind.QUERY:
                    continue
            self._made[metric.name] = made

    def expect(self, metric: Metric, **labels: Iterable[str]) -> None:
        """Show every combination of label values from now on, counters at 0.

        A counter that appears with its first event has no rate for that event, so the first failure would never
        raise an alert.
        """
        for values in product(*labels.values()):
            self._child(metric, dict(zip(labels, values, strict=True)))

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        made = self._child(metric, labels)
        made.inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(metric, labels).set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add an observation (seconds, or whatever the table says) to a histogram."""
        self._child(metric, labels).observe(value)

    def _child(self, metric: Metric, labels: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - three library types, one use each
        made = self._made[metric.name]
        return made.labels(**labels) if metric.labels else made
