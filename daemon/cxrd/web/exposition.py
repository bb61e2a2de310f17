"""``/metrics``: what the processes counted, and what the store says now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from socket import gethostname
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector

from cxrd import __version__
from cxrd.errors import StoreError
from cxrd.settings import Settings
from cxrd.store import commitments, progress, views
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.schema import FetchState, JobKind, JobState, StudyState
from cxrd.watch import metrics as m

CACHE_S = 5.0
"""Seconds for which what was read is shown again, at least."""
REST = 9
"""And for so many times as long as reading took: years of studies are counted, and other hosts count them too."""
Samples = dict[tuple[str, ...], float]
_NO_STUDIES: Samples = {(state.value,): 0.0 for state in StudyState}
_NO_JOBS: Samples = {(kind.value, state.value): 0.0 for kind in JobKind for state in JobState}
_NOT_WAITING: Samples = {(kind.value,): 0.0 for kind in JobKind}


class StoreCollector:
    """Gauges read from the store at scrape time, at most every few seconds and for a tenth of the time.

    Parameters
    ----------
    settings : Settings
        Sources, destinations and roles that are shown before anything happened to them.
    database, payload
        What is read.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        payload: Payloads,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._payload = payload
        self._clock = clock
        self._families: list[Family] = []
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Show other sources and destinations from the next scrape on."""
        self._settings = settings
        self._build: Samples = {(__version__, settings.fingerprint()[:12]): 1.0}
        self._again_at = float("-inf")

    def collect(self) -> Iterable[Family]:
        """Families of what can be read now, and which of the two stores answers."""
        if (begun := self._clock()) >= self._again_at:
            self._families = [_family(metric, samples) for metric, samples in self._samples().items()]
            ended = self._clock()
            self._again_at = ended + max(CACHE_S, REST * (ended - begun))
        return self._families

    def _samples(self) -> dict[m.Metric, Samples]:
        found: dict[m.Metric, Samples] = {
            m.BUILD_INFO: self._build,
            m.SPOOL_WATERMARK: {(): self._settings.storage.min_free_mb * 2.0**20},
        }
        answers: Samples = {}
        for store, read in (("database", self._of_database), ("payload", self._of_payload)):
            try:
                found |= read()
                answers[store,] = 1.0
            except StoreError:
                answers[store,] = 0.0
        return found | {m.STORE_UP: answers}

    def _of_database(self) -> dict[m.Metric, Samples]:
        sources = self._settings.dicom.sources
        unheard: Samples = {(s.name,): 0.0 for s in sources if s.watched}
        destinations = [(d.name,) for d in self._settings.destinations]
        nobody: Samples = dict.fromkeys(destinations, 0.0)
        unfetched: Samples = {(a.name, state.value): 0.0 for a in self._settings.archives for state in FetchState}
        nowhere: Samples = dict.fromkeys([(role,) for role in self._settings.roles()], inf)
        committing: Samples = {(d.name,): 0.0 for d in self._settings.destinations if d.commit}
        with self._database.read() as connection:
            now = self._database.now(connection)
            came = views.last_instance_by_source(connection)
            paused, waiting = views.paused_by_dest(connection), views.oldest_undelivered_by_dest(connection, now)
            return {
                m.STUDIES: _NO_STUDIES | _one(views.studies_by_state(connection)),
                m.OLDEST_STUDY: _one(views.oldest_study_age_by_state(connection, now)),
                m.QUEUE_JOBS: _NO_JOBS | {k: float(n) for k, n in views.jobs_by_kind_state(connection).items()},
                m.OLDEST_JOB: _NOT_WAITING | _one(views.oldest_job_age_by_kind(connection, now)),
                m.OLDEST_UNDELIVERED: nobody | {key: age for key, age in _one(waiting).items() if key in nobody},
                m.OLDEST_UNCOMMITTED: committing | _one(commitments.oldest_age_by_dest(connection, now)),
                m.PAUSED: nobody | {key: on for key, on in _one(paused).items() if key in nobody},
                m.BACKFILL: unfetched | {key: float(n) for key, n in progress.counts(connection).items()},
                m.LAST_INSTANCE: unheard | {key: at for key, at in _one(came).items() if key in unheard or not sources},
                m.HEARTBEAT: nowhere | _one({r: now - at for r, at in views.last_beat_by_role(connection).items()}),
                m.RELOADED: {(): float(not views.config_refused(connection, gethostname()))},
                m.SEAL_LAG: {(): views.audit_seal_lag(connection, now)},
            }

    def _of_payload(self) -> dict[m.Metric, Samples]:
        return {
            m.SPOOL_FREE: {(): float(self._payload.free_bytes())},
            m.SPOOL_SIZE: {(): float(self._payload.total_bytes())},
        }


def _one(values: Mapping[str, float]) -> Samples:
    """Samples of a metric with one label."""
    return {(name,): float(value) for name, value in values.items()}


def _family(metric: m.Metric, samples: Samples) -> Family:
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric([str(label) for label in labels], value)
    return family


def exposition(collector: StoreCollector, metrics_dir: str) -> bytes:
    """The text that Prometheus scrapes.

    Parameters
    ----------
    collector : StoreCollector
        Gauges from the store.
    metrics_dir : str
        Where the processes of this node keep their values; empty leaves them out.
    """
    registry = CollectorRegistry()
    if metrics_dir:
        MultiProcessCollector(registry, path=metrics_dir)  # type: ignore[no-untyped-call]
    registry.register(collector)
    return generate_latest(registry)
