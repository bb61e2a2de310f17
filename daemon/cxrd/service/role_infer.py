"""The ``infer`` role: models loaded once and followed, studies analysed as they become complete."""

from __future__ import annotations

from typing import Any

from cxrd.errors import Reason
from cxrd.inference import content
from cxrd.service.model_set import ModelSet
from cxrd.service.roles import Parts
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger
from cxrd.work.decoding import Decoders
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Load every package that answers or looks on, say where it runs, and work."""
    settings = parts.settings
    parts.metrics.expect(m.REFUSED, reason=Reason)
    parts.metrics.expect(m.CORRECTED, reason=[Reason.INVERTED])
    parts.metrics.expect(m.STAGE, stage=["decode", "preprocess", "infer"])
    models = ModelSet(settings, parts.database, parts.worker_id, parts.metrics)
    active, shadows = models.start()
    check = content.load(settings.admission)
    if check:
        log: Any = logger()
        log.info("content check loaded", version=check.ref.version, digest=check.ref.digest[:12])
    with Decoders(settings.inference.decode_processes, settings.inference.decode_timeout_s) as decoders:
        handler = InferHandler(parts.database, parts.payload, active, decoders, settings, parts.metrics, check=check)
        handler.take(active, shadows)
        parts.follow(handler.follow)
        parts.ready()
        models.follow(handler.take, parts.stop)
        Loop(parts.database, handler, parts.worker_id, settings.work, parts.stop).run()
