"""The ``fetch`` role: an archive's past, as slowly as it must be."""

from __future__ import annotations

from cxrd.backfill.fetch import Fetcher
from cxrd.service.crew import Crew
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.store import lanes
from cxrd.store.schema import JobKind
from cxrd.watch.lifeline import wait_for


def run(parts: Parts) -> None:
    """Fetch what is due from every archive, each by as many associations as it may have."""
    fetcher, crew = Fetcher(parts.database, parts.settings), Crew(parts)

    def follow(settings: Settings) -> None:
        with parts.database.write() as connection:
            lanes.register(connection, [archive.name for archive in settings.archives], kind=JobKind.FETCH)
        fetcher.follow(settings)
        crew.grow(fetcher, sum(archive.max_associations for archive in settings.archives))

    parts.ready()
    follow(parts.settings)
    parts.follow(follow)
    wait_for(parts.stop)
    crew.join()
