"""What the roles of this node say of themselves in their metrics, for the page: models in force, peers, drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from cxrd.watch import metrics as m

_WANTED = (m.MODEL_INFO, m.DESTINATION_UP, m.DRIFT, m.SOURCE_DRIFT, m.INPUT_DRIFT, m.CACHE)


@dataclass(frozen=True, slots=True)
class Running:
    """Newest values of the gauges that a person asks for.

    Attributes
    ----------
    models : Mapping from (model, version) to labels
        ``digest``, ``stage`` and ``provider`` of each package that is loaded.
    up : Mapping from destination to bool
        Whether its last C-ECHO was answered.
    drift : Mapping from (model, finding) to float
        Population stability index of a finding's scores.
    source_drift : Mapping from (model, source) to float
        The largest of any finding, on films of one source.
    input_drift : Mapping from (model, source, statistic) to float
        Of what a model is fed.
    hits, misses : int
        Outputs that the cache had, and had not.
    """

    models: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    up: Mapping[str, bool] = field(default_factory=dict)
    drift: Mapping[tuple[str, str], float] = field(default_factory=dict)
    source_drift: Mapping[tuple[str, str], float] = field(default_factory=dict)
    input_drift: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0


def read_running(metrics_dir: str) -> Running:
    """Read what the processes of this node keep in a folder; nothing is known without one."""
    if not metrics_dir:
        return Running()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=metrics_dir)  # type: ignore[no-untyped-call]
    wanted = {metric.name.removesuffix("_total") for metric in _WANTED}
    found: dict[str, list[tuple[dict[str, str], float]]] = {name: [] for name in wanted}
    for family in registry.collect():
        if family.name in wanted:
            found[family.name] += [(dict(s.labels), float(s.value)) for s in family.samples if not isnan(s.value)]
    asked = {told["outcome"]: int(value) for told, value in found[m.CACHE.name.removesuffix("_total")]}
    return Running(
        models={(told["model"], told["version"]): told for told, value in found[m.MODEL_INFO.name] if value},
        up={told["destination"]: bool(value) for told, value in found[m.DESTINATION_UP.name]},
        drift={(t["model"], t["finding"]): v for t, v in found[m.DRIFT.name]},
        source_drift={(t["model"], t["source"]): v for t, v in found[m.SOURCE_DRIFT.name]},
        input_drift={(t["model"], t["source"], t["statistic"]): v for t, v in found[m.INPUT_DRIFT.name]},
        hits=asked.get("hit", 0),
        misses=asked.get("miss", 0),
    )
