"""The ``deliver`` role: results out, several at once, so that one slow destination never holds up another."""

from __future__ import annotations

from threading import Thread

from cxrd.delivery.courier import Courier
from cxrd.service.roles import Parts
from cxrd.store import lanes
from cxrd.work.loop import Loop

MAX_SENDERS = 16


def run(parts: Parts) -> None:
    """Send what is due to every destination that takes it."""
    destinations = parts.settings.destinations
    with parts.database.write() as connection:
        lanes.register(connection, [d.name for d in destinations])
    parts.ready()
    senders = min(MAX_SENDERS, max(1, sum(d.max_associations for d in destinations)))
    threads = [Thread(target=_loop(parts, number).run, name=f"sender-{number}") for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _loop(parts: Parts, number: int) -> Loop:
    courier = Courier(parts.database, parts.payload, parts.settings, parts.metrics)
    return Loop(parts.database, courier, f"{parts.worker_id}#{number}", parts.settings.work, parts.stop)
