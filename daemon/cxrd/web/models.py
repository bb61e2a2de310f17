"""Model packages as cards: what they answer, in which stage, and how far films and answers have drifted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from sqlalchemy import Connection

from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Chosen, Entry, Stage
from cxrd.inference.manifest import Manifest, ModelClass
from cxrd.inference.packages import choose, read_package
from cxrd.inference.reference import STATISTICS, Reference, read_reference
from cxrd.inference.thresholds import at_site
from cxrd.settings import Settings
from cxrd.store import observations, packages
from cxrd.store.observations import Observation, Seen
from cxrd.watch.logs import logger
from cxrd.web.charts import histogram
from cxrd.web.running import Running

STEADY, MOVED = 0.1, 0.25
"""Below: the same population; above: another one (see :mod:`cxrd.inference.reference`)."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """One distribution against the package's own.

    Attributes
    ----------
    psi : float or None
        Population stability index; None while too few films tell nothing.
    """

    name: str
    psi: float | None
    plot: Markup

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.psi is None:
            return "too few films"
        return "steady" if self.psi < STEADY else "shifting" if self.psi < MOVED else "moved"


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class: its operating point, and its scores of late."""

    klass: ModelClass
    drift: Drifted


@dataclass(frozen=True, slots=True)
class Card:
    """One package.

    Attributes
    ----------
    told : dict
        ``stage``, ``provider``, ``digest`` as the infer role says; empty when no infer role runs here.
    films : int
        Newest films that the plots show.
    """

    manifest: Manifest
    digest: str
    told: dict[str, str]
    films: int
    classes: tuple[ClassLine, ...]
    inputs: tuple[Drifted, ...]


class _Package(NamedTuple):
    stage: Stage
    manifest: Manifest
    digest: str
    reference: Reference


class ModelCards:
    """Reads packages as they come to answer or to look on, and at each request what the newest films say of them.

    Parameters
    ----------
    settings : Settings
        Where packages lie, thresholds of the site, how many films are looked at.
    """

    def __init__(self, settings: Settings) -> None:
        self._where = settings.models
        self._of: tuple[Chosen, ...] = ()
        self._packages: list[_Package] = []
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Show other thresholds."""
        self._thresholds = settings.models.thresholds
        self._films = settings.drift.films

    def manifests(self, connection: Connection) -> list[tuple[Stage, Manifest, str]]:
        """Each package that answers or looks on with its digest, at this site's thresholds."""
        self._look(packages.entries(connection))
        return [(x.stage, at_site(x.manifest, self._thresholds), x.digest) for x in self._packages]

    def read(self, connection: Connection, running: Running) -> list[Card]:
        """One card for each package that answers, and for each that looks on."""
        self._look(packages.entries(connection))
        films = {stage: observations.newest(connection, self._films, stage) for stage in (Stage.ACTIVE, Stage.SHADOW)}
        alone = Running(models=running.models)  # drift is told of what answers
        return [
            _card(
                at_site(x.manifest, self._thresholds),
                x.digest,
                x.reference,
                films[x.stage],
                running if x.stage is Stage.ACTIVE else alone,
            )
            for x in self._packages
        ]

    def _look(self, entries: Sequence[Entry]) -> None:
        """Read the packages when other ones answer or look on; none where others judge the films."""
        try:
            wanted = choose(self._where.dir, self._where.enabled, entries)
            if wanted != self._of:
                self._packages = [_Package(c.stage, *_read(c.folder)) for c in wanted]
                self._of = wanted
        except PackageError as error:
            log: Any = logger()
            log.warning("the page shows the packages that could be read before", error=str(error))


def _read(folder: Path) -> tuple[Manifest, str, Reference]:
    manifest, digest = read_package(folder)
    return manifest, digest, read_reference(folder, manifest)


def _card(manifest: Manifest, digest: str, reference: Reference, films: list[Observation], running: Running) -> Card:
    seen = [s for film in films for s in film.seen if (s.model, s.version) == (manifest.id, manifest.version)]
    scores = _by_class(seen)
    classes = tuple(_class(manifest.id, klass, reference, scores[klass.id], running) for klass in manifest.classes)
    inputs = tuple(_input(manifest.id, name, reference, seen, running) for name in STATISTICS)
    return Card(
        manifest, digest, dict(running.models.get((manifest.id, manifest.version), {})), len(seen), classes, inputs
    )


def _by_class(seen: list[Seen]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        for name, score in one.scores.items():
            found[name].append(score)
    return found


def _class(model: str, klass: ModelClass, reference: Reference, scores: list[float], running: Running) -> ClassLine:
    expected = reference.scores.get(klass.id)
    label = f"Scores of {klass.id}: {len(scores)} newest films against {0 if expected is None else len(expected)}"
    plot = histogram(label, [] if expected is None else expected, scores, mark=klass.threshold)
    return ClassLine(klass, Drifted(klass.id, running.drift.get((model, klass.id)), plot))


def _input(model: str, name: str, reference: Reference, seen: list[Seen], running: Running) -> Drifted:
    """The worst of any source: one detector that was changed must not hide among the others."""
    expected, values = reference.inputs.get(name), [s.inputs[name] for s in seen if name in s.inputs]
    worst = [psi for (m, _, statistic), psi in running.input_drift.items() if (m, statistic) == (model, name)]
    label = f"{name} of what the model is fed: {len(values)} newest films"
    return Drifted(name, max(worst, default=None), histogram(label, [] if expected is None else expected, values))
