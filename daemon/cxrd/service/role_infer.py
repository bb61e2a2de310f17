"""The ``infer`` role: models loaded once and followed, studies analysed as they become complete."""

from __future__ import annotations

from cxrd.errors import Reason
from cxrd.service.model_set import ModelSet
from cxrd.service.roles import Parts
from cxrd.watch import metrics as m
from cxrd.work.decoding import Decoders
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Load every package that answers or looks on, say where it runs, and work."""
    settings = parts.settings
    parts.metrics.expect(m.REFUSED, reason=Reason)
    parts.metrics.expect(m.STAGE, stage=["decode", "preprocess", "infer"])
    models = ModelSet(settings, parts.database, parts.worker_id, parts.metrics)
    active, shadows = models.start()
    with Decoders(settings.inference.decode_processes, settings.inference.decode_timeout_s) as decoders:
        handler = InferHandler(parts.database, parts.payload, active, decoders, settings, parts.metrics)
        handler.take(active, shadows)
        parts.follow(handler.follow)
        parts.ready()
        models.follow(handler.take, parts.stop)
        Loop(parts.database, handler, parts.worker_id, settings.work, parts.stop).run()
