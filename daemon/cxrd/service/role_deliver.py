"""The ``deliver`` role: results out, several at once, so that one slow destination never holds up another."""

from __future__ import annotations

from threading import Thread

from cxrd.delivery.committer import Committer
from cxrd.delivery.courier import Courier
from cxrd.delivery.reports import Reports
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.store import lanes
from cxrd.store.steps import Handler
from cxrd.watch import metrics as m
from cxrd.watch.lifeline import wait_for
from cxrd.work.loop import Loop

MAX_SENDERS = 16


def run(parts: Parts) -> None:
    """Send what is due to every destination that takes it."""
    parts.metrics.expect(m.STAGE, stage=["deliver"])
    parts.metrics.expect(m.TURNAROUND_SECONDS)
    senders = _Senders(parts)
    parts.ready()
    senders.follow(parts.settings)
    parts.follow(senders.follow)
    wait_for(parts.stop)
    senders.join()


class _Senders:
    """As many threads as the destinations may have associations; they share what is to be done."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._courier = Courier(parts.database, parts.payload, parts.settings, parts.metrics)
        reports = Reports(parts.database, parts.settings, parts.metrics)
        self._committer = Committer(parts.database, parts.settings, reports, parts.metrics)
        self._threads: list[Thread] = []

    def follow(self, settings: Settings) -> None:
        """Send to other destinations from the next claim on; a sender that is not needed any more finds no work."""
        with self._parts.database.write() as connection:
            lanes.register(connection, [d.name for d in settings.destinations])
        self._courier.follow(settings)
        self._committer.follow(settings)
        wanted = 1 + min(MAX_SENDERS, max(1, sum(d.max_associations for d in settings.destinations)))
        while len(self._threads) < wanted:  # the first asks for commitment, the others send
            number = len(self._threads)
            loop = self._loop(number, self._courier if number else self._committer)
            self._threads.append(Thread(target=loop.run, name=f"sender-{number}"))
            self._threads[-1].start()

    def join(self) -> None:
        """Wait until each has finished what it holds."""
        for thread in self._threads:
            thread.join()

    def _loop(self, number: int, handler: Handler) -> Loop:
        parts = self._parts
        return Loop(parts.database, handler, f"{parts.worker_id}#{number}", parts.settings.work, parts.stop)
