"""The packages that an infer worker holds, and how it follows when stages change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Any

from cxrd.errors import CxrdError, PackageError, StoreError
from cxrd.inference import engine
from cxrd.inference.engine import Classifier
from cxrd.inference.lifecycle import Chosen, Stage
from cxrd.service.choosing import adopt, chosen, confirm, there
from cxrd.settings import Settings
from cxrd.store import packages
from cxrd.store.database import Database
from cxrd.store.packages import Running
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger

AGAIN_S = 30.0
"""How long a package that could not be loaded is left alone: it may still be on its way to this host."""

Take = Callable[[Sequence[Classifier], Sequence[Classifier]], None]


def load(settings: Settings, wanted: Chosen) -> Classifier:
    """Load a package, if it is the one that is meant.

    Raises
    ------
    PackageError
        It is not there, not intact, or another one under the same number.
    """
    there(wanted)
    classifier = engine.load(wanted.folder, settings.inference.provider, settings.inference.threads)
    confirm(wanted, classifier.ref.digest)
    return classifier


class ModelSet:
    """The packages of one infer worker.

    Parameters
    ----------
    settings : Settings
        Where packages lie, pins, how often to look.
    database : Database
        Knows the stages; is told what is loaded.
    worker_id : str
        Under which it is told.
    metrics : Metrics
        Where it is shown.
    """

    def __init__(self, settings: Settings, database: Database, worker_id: str, metrics: m.Metrics) -> None:
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._metrics = metrics
        self._loaded: dict[Chosen, Classifier] = {}
        self._wanted: tuple[Chosen, ...] = ()
        self._faults: dict[Chosen, str] = {}
        self._try_again_at = 0.0
        self._log: Any = logger()

    def start(self) -> tuple[list[Classifier], list[Classifier]]:
        """Load what should be loaded; those that answer, and those that look on.

        Raises
        ------
        CxrdError
            A package that should answer cannot be loaded: a node must not answer with less than it should.
        """
        adopt(self._settings, self._database)
        with self._database.read() as connection:
            self._wanted = chosen(self._settings, packages.entries(connection))
        for one in self._wanted:
            try:
                self._loaded[one] = load(self._settings, one)
            except PackageError as error:
                if one.stage is Stage.ACTIVE:
                    raise
                self._refuse(one, error)
        self._show({})
        return self._sets()

    def follow(self, take: Take, stop: Event) -> None:
        """Look for changes in a thread of its own, and hand other sets over, until told to stop."""
        self._tell()
        Thread(target=self._run, args=(take, stop), daemon=True, name="models").start()

    def _run(self, take: Take, stop: Event) -> None:
        while not stop.wait(self._settings.models.refresh_s):
            try:
                self.look(take)
            except StoreError as error:
                self._log.warning("the stages of models cannot be read", error=str(error))

    def look(self, take: Take) -> bool:
        """Compare what is loaded with what should be; whether another set was handed over.

        A package that cannot be loaded is named, and what stood in its place goes on.
        """
        with self._database.read() as connection:
            entries = packages.entries(connection)
        try:
            wanted = chosen(self._settings, entries)
        except PackageError as error:
            self._log.error("no set of models can be chosen; the loaded ones go on", error=str(error))
            return False
        if wanted == self._wanted and not (self._faults and monotonic() >= self._try_again_at):
            return False
        before, old, self._wanted, self._faults = dict(self._loaded), self._by_digest(), wanted, {}
        self._loaded = {}
        for one in wanted:
            self._place(one, before, old)
        try:
            take(*self._sets())
        except CxrdError as error:  # the site's thresholds do not fit them
            self._loaded = before
            for one in wanted:
                if one not in before:
                    self._refuse(one, error)
        self._show(before)
        self._tell()
        return self._loaded != before

    def _place(self, one: Chosen, before: dict[Chosen, Classifier], old: dict[tuple[str, str], Classifier]) -> None:
        """Load a package, or let what answered for its model go on."""
        if (there := old.get((one.name, one.digest))) is not None:  # only its stage has changed
            self._loaded[one] = there
            return
        try:
            self._loaded[one] = load(self._settings, one)
        except PackageError as error:
            self._refuse(one, error)
            if one.stage is Stage.ACTIVE:
                same = (c for c in before if (c.model, c.stage) == (one.model, Stage.ACTIVE))
                self._loaded |= {c: before[c] for c in same}

    def _by_digest(self) -> dict[tuple[str, str], Classifier]:
        return {(c.name, loaded.ref.digest): loaded for c, loaded in self._loaded.items()}

    def _refuse(self, one: Chosen, error: CxrdError) -> None:
        self._faults[one] = str(error)
        self._try_again_at = monotonic() + AGAIN_S
        self._log.error("model cannot be loaded", model=one.name, stage=str(one.stage), error=str(error))

    def _sets(self) -> tuple[list[Classifier], list[Classifier]]:
        by = {stage: [x for c, x in self._loaded.items() if c.stage is stage] for stage in Stage}
        return by[Stage.ACTIVE], by[Stage.SHADOW]

    def _show(self, before: dict[Chosen, Classifier]) -> None:
        """Set the metrics of what is loaded, was loaded and cannot be."""
        for one, classifier in before.items():
            if one not in self._loaded:
                self._metrics.set(m.MODEL_INFO, 0, **_labels(one, classifier))
        for one, classifier in self._loaded.items():
            labels = _labels(one, classifier)
            self._metrics.set(m.MODEL_INFO, 1, **labels)
            self._metrics.set(m.MODEL_MISSING, 0, model=one.model, version=one.version, stage=str(one.stage))
            if one not in before:
                self._log.info("model loaded", **labels)
            _expect(self._metrics, classifier, one.stage)
        for one in self._faults:
            self._metrics.set(m.MODEL_MISSING, 1, model=one.model, version=one.version, stage=str(one.stage))

    def _tell(self) -> None:
        runs = [
            Running(c.model, c.version, x.ref.digest, str(c.stage), x.provider) for c, x in self._loaded.items()
        ] + [Running(c.model, c.version, c.digest, str(c.stage), "", fault) for c, fault in self._faults.items()]
        with self._database.write() as connection:
            packages.tell_runs(connection, self._worker_id, runs)


def _labels(one: Chosen, classifier: Classifier) -> dict[str, str]:
    return {
        "model": one.model,
        "version": one.version,
        "digest": classifier.ref.digest[:12],
        "stage": str(one.stage),
        "provider": classifier.provider,
    }


def _expect(metrics: m.Metrics, classifier: Classifier, stage: Stage) -> None:
    """Show a model's series before it has judged a film."""
    model, findings = [classifier.ref.id], [c.id for c in classifier.manifest.classes]
    if stage is Stage.SHADOW:
        metrics.expect(m.SHADOW_FAILED, model=model)
        metrics.expect(m.SHADOW_COMPARED, model=model, finding=findings, outcome=["agree", "differ"])
        for metric in (m.SHADOW_SCORE, m.SHADOW_POSITIVE):
            metrics.expect(metric, model=model, finding=findings)
        return
    for metric in (m.BATCH, m.MODEL_DURATION, *((m.GATE_FILMS, m.GATE_SECOND) if classifier.manifest.gate else ())):
        metrics.expect(metric, model=model)
    for metric in (m.SCORE, m.POSITIVE):
        metrics.expect(metric, model=model, finding=findings)
