"""A chore of ``tick``: remove what a site does not want to keep any longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cxrd.settings import Settings
from cxrd.store import retention
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.retention import Removed
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger

DAY_S = 86_400.0
GRACE_S = 2 * DAY_S
"""A file outlives its rows by so long, so that a database restored from yesterday's backup finds it."""
IDLE_S = 3600.0
"""Bytes that somebody put within so many seconds stay: the row that names them may not be committed yet."""
SOME, MANY = 100, 1000

Find = Callable[..., list[str]]
Give = Callable[..., Removed]


class Retention:
    """Removes films, objects and done jobs after the days that the configuration says; 0 keeps them for ever.

    Parameters
    ----------
    database, payload
        The rows and the bytes.
    settings : Settings
        How long a site keeps what.
    metrics : Metrics
        Where it is counted.
    """

    def __init__(self, database: Database, payload: PayloadStore, settings: Settings, metrics: m.Metrics) -> None:
        self._database = database
        self._payload = payload
        self._keep = settings.retention
        self._metrics = metrics
        self._log: Any = logger()
        metrics.expect(m.REMOVED, what=["film", "preview", "object", "job"])

    def __call__(self) -> None:
        """Do all that is due."""
        if self._keep.films_days:
            self._studies(retention.studies_with_films, retention.remove_films, self._keep.films_days)
        if self._keep.results_days:
            self._studies(retention.studies_with_objects, retention.remove_objects, self._keep.results_days)
        if self._keep.jobs_days:
            self._jobs(self._keep.jobs_days)
        self.files()

    def files(self, *, grace_s: float = GRACE_S, idle_s: float = IDLE_S) -> None:
        """Remove files whose rows gave them up long enough ago, and that no other row names."""
        while True:
            with self._database.write() as connection:
                before = self._database.now(connection) - grace_s
                digests = retention.doomed(connection, before=before, limit=SOME)
            gone = [digest for digest in digests if self._payload.remove(digest, idle_s=idle_s)]
            with self._database.write() as connection:
                retention.pardon(connection, gone)
            if not gone:  # what is left was put again of late: its turn comes
                return

    def _studies(self, find: Find, give_up: Give, days: float) -> None:
        while True:
            with self._database.read() as connection:
                before = self._database.now(connection) - days * DAY_S
                studies = find(connection, before=before, limit=SOME)
            for study_uid in studies:
                with self._database.write() as connection:
                    removed = give_up(connection, self._database.now(connection), study_uid, before=before)
                self._count(study_uid, removed)
            if len(studies) < SOME:
                return

    def _jobs(self, days: float) -> None:
        count = MANY
        while count == MANY:
            with self._database.write() as connection:
                now = self._database.now(connection)
                count = retention.remove_jobs(connection, now, before=now - days * DAY_S, limit=MANY)
            self._metrics.count(m.REMOVED, count, what="job")

    def _count(self, study_uid: str, removed: Removed) -> None:
        self._metrics.count(m.REMOVED_BYTES, removed.bytes)
        for what, count in (("film", removed.films), ("preview", removed.previews), ("object", removed.objects)):
            self._metrics.count(m.REMOVED, count, what=what)
        self._log.info("bytes of a finished study were given up", study=study_uid, bytes=removed.bytes)
