"""Threads of one role that share what is to be done, as many as its peers may have associations."""

from __future__ import annotations

from threading import Thread

from cxrd.service.roles import Parts
from cxrd.store.steps import Handler
from cxrd.work.loop import Loop


class Crew:
    """Workers that claim, each by itself, until the role ends.

    Parameters
    ----------
    parts : Parts
        Of the role.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads: list[tuple[Handler, Thread]] = []

    def grow(self, handler: Handler, size: int) -> None:
        """Let new workers handle claims by ``handler`` until it has ``size``; one too many finds no work."""
        parts = self._parts
        for _ in range(sum(theirs is handler for theirs, _ in self._threads), size):
            name = f"{parts.worker_id}#{len(self._threads)}"
            loop = Loop(parts.database, handler, name, parts.settings.work, parts.stop)
            self._threads.append((handler, Thread(target=loop.run, name=name)))
            self._threads[-1][1].start()

    def join(self) -> None:
        """Wait until each has finished what it holds."""
        for _, thread in self._threads:
            thread.join()
