"""The ``fetch`` role: an archive's past, as slowly as it must be."""

from __future__ import annotations

from threading import Thread

from cxrd.backfill.fetch import Fetcher
from cxrd.service.roles import Parts
from cxrd.store import lanes
from cxrd.store.schema import JobKind
from cxrd.watch.lifeline import wait_for
from cxrd.work.loop import Loop


def run(parts: Parts) -> None:
    """Fetch what is due from every archive, each by as many associations as it may have."""
    settings = parts.settings
    with parts.database.write() as connection:
        lanes.register(connection, [archive.name for archive in settings.archives], kind=JobKind.FETCH)
    fetcher = Fetcher(parts.database, settings)
    threads = []
    for number in range(sum(archive.max_associations for archive in settings.archives)):
        loop = Loop(parts.database, fetcher, f"{parts.worker_id}#{number}", settings.work, parts.stop)
        threads.append(Thread(target=loop.run, name=f"fetch-{number}"))
        threads[-1].start()
    parts.ready()
    wait_for(parts.stop)
    for thread in threads:
        thread.join()
