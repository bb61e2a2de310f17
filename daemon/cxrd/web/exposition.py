"""``/metrics``: what the processes counted, and what the store says now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector

from cxrd.errors import StoreError
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.watch import metrics as m

CACHE_S = 5.0
Samples = Mapping[tuple[str, ...], float]


class StoreCollector:
    """Gauges read from the store at scrape time, at most every few seconds.

    Parameters
    ----------
    database, payload
        What is read.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, database: Database, payload: Payloads, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._payload = payload
        self._clock = clock
        self._read_at = float("-inf")
        self._families: list[Family] = []

    def collect(self) -> Iterable[Family]:
        """Families in the order of the table; the store's last known values while it does not answer."""
        if self._clock() - self._read_at > CACHE_S:
            try:
                self._families = [_family(metric, samples) for metric, samples in self._samples().items()]
            except StoreError:
                self._families = [f for f in self._families if f.name == m.SPOOL_FREE.name]
            self._read_at = self._clock()
        return self._families

    def _samples(self) -> dict[m.Metric, Samples]:
        with self._database.read() as connection:
            now = self._database.now(connection)
            return {
                m.STUDIES: {(state,): n for state, n in views.studies_by_state(connection).items()},
                m.QUEUE_JOBS: {key: float(n) for key, n in views.jobs_by_kind_state(connection).items()},
                m.OLDEST_JOB: {(kind,): age for kind, age in views.oldest_job_age_by_kind(connection, now).items()},
                m.OLDEST_UNDELIVERED: {
                    (dest,): age for dest, age in views.oldest_undelivered_by_dest(connection, now).items()
                },
                m.LAST_INSTANCE: {(source,): at for source, at in views.last_instance_by_source(connection).items()},
                m.SEAL_LAG: {(): views.audit_seal_lag(connection, now)},
                m.SPOOL_FREE: {(): float(self._payload.free_bytes())},
            }


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
