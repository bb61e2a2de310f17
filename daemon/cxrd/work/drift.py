"""Drift: whether the newest films and answers still look like those on which a package was tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan

from cxrd.inference.manifest import Manifest
from cxrd.inference.reference import Reference, psi
from cxrd.inference.thresholds import at_site
from cxrd.settings import Settings
from cxrd.store.observations import Observation, Seen
from cxrd.watch import metrics as m

Gauge = tuple[m.Metric, tuple[str, ...]]
"""A metric and the values of its labels."""


class Drifting:
    """Compares and tells; what cannot be told any more becomes NaN, which no alert fires on.

    Parameters
    ----------
    packages : callable
        Models that answer now, each manifest with its reference.
    settings : Settings
        How many films tell something; the site's thresholds.
    metrics : Metrics
        Where the figures go.
    """

    def __init__(
        self, packages: Callable[[], Sequence[tuple[Manifest, Reference]]], settings: Settings, metrics: m.Metrics
    ) -> None:
        self._packages = packages
        self._few = settings.drift.min_films
        self._metrics = metrics
        self._told: set[Gauge] = set()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Take other thresholds as the operating points."""
        self._thresholds = settings.models.thresholds

    def look(self, films: Iterable[Observation]) -> None:
        """Set every drift gauge from the newest films."""
        by_model: dict[tuple[str, str], dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
        for film in films:
            for seen in film.seen:
                by_model[seen.model, seen.version][film.source].append(seen)
        figures: dict[Gauge, float] = {}
        for manifest, reference in self._packages():
            seen_by = by_model[manifest.id, manifest.version]
            figures |= self._model(at_site(manifest, self._thresholds), reference, seen_by)
        for gauge in self._told - figures.keys():
            self._set(gauge, nan)
        for gauge, value in figures.items():
            self._set(gauge, value)
        self._told |= figures.keys()

    def _set(self, gauge: Gauge, value: float) -> None:
        metric, labels = gauge
        self._metrics.set(metric, value, **dict(zip(metric.labels, labels, strict=True)))

    def _model(
        self, manifest: Manifest, reference: Reference, by_source: Mapping[str, Sequence[Seen]]
    ) -> dict[Gauge, float]:
        model = manifest.id
        found: dict[Gauge, float] = {}
        for klass in manifest.classes:
            if klass.threshold is not None and klass.id in reference.scores:
                share = (reference.scores[klass.id] >= klass.threshold).mean()
                found[m.REFERENCE_POSITIVE, (model, klass.id)] = float(share)
        together = self._scores(reference, [seen for films in by_source.values() for seen in films])
        found |= {(m.DRIFT, (model, name)): value for name, value in together.items()}
        for source, films in by_source.items():
            found[m.DRIFT_FILMS, (model, source)] = len(films)
            if shifts := self._scores(reference, films):
                found[m.SOURCE_DRIFT, (model, source)] = max(shifts.values())
            for name, values in reference.inputs.items():
                seen = [film.inputs[name] for film in films if name in film.inputs]
                if len(seen) >= self._few:
                    found[m.INPUT_DRIFT, (model, source, name)] = psi(values, seen)
        return found

    def _scores(self, reference: Reference, films: Sequence[Seen]) -> dict[str, float]:
        """Shift of each class with enough scores."""
        found = {}
        for name, values in reference.scores.items():
            scores = [film.scores[name] for film in films if name in film.scores]
            if len(scores) >= self._few:
                found[name] = psi(values, scores)
        return found
