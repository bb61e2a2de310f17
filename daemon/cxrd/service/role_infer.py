"""The ``infer`` role: models loaded once, studies analysed as they become complete."""

from __future__ import annotations

from typing import Any

from cxrd.errors import Reason
from cxrd.inference import engine
from cxrd.inference.packages import find_packages
from cxrd.service.roles import Parts
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger
from cxrd.work.decoding import Decoders
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Load every enabled package, say where it runs, and work."""
    settings = parts.settings
    log: Any = logger()
    parts.metrics.expect(m.REFUSED, reason=Reason)
    parts.metrics.expect(m.STAGE, stage=["decode", "preprocess", "infer"])
    classifiers = []
    for folder in find_packages(settings.models.dir, settings.models.enabled):
        classifier = engine.load(folder, settings.inference.provider, settings.inference.threads)
        classifiers.append(classifier)
        told = {"model": classifier.ref.id, "version": classifier.ref.version, "digest": classifier.ref.digest[:12]}
        parts.metrics.set(m.MODEL_INFO, 1, **told, stage="active", provider=classifier.provider)
        log.info("model loaded", **told, provider=classifier.provider)
        _expect(parts.metrics, classifier)
    with Decoders(settings.inference.decode_processes, settings.inference.decode_timeout_s) as decoders:
        handler = InferHandler(parts.database, parts.payload, classifiers, decoders, settings, parts.metrics)
        parts.follow(handler.follow)
        parts.ready()
        Loop(parts.database, handler, parts.worker_id, settings.work, parts.stop).run()


def _expect(metrics: m.Metrics, classifier: engine.Classifier) -> None:
    """Show a model's series before it has judged a film."""
    model, findings = [classifier.ref.id], [c.id for c in classifier.manifest.classes]
    for metric in (m.BATCH, m.MODEL_DURATION, *((m.GATE_FILMS, m.GATE_SECOND) if classifier.manifest.gate else ())):
        metrics.expect(metric, model=model)
    for metric in (m.SCORE, m.POSITIVE):
        metrics.expect(metric, model=model, finding=findings)
