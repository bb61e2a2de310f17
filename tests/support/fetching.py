"""An archive that is fetched from: a listener of ours, one worker, and time that passes when told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from pydicom import Dataset

from cxrd.backfill.fetch import Fetcher
from cxrd.backfill.slices import plan
from cxrd.intake.listener import Listener
from cxrd.peers import Archive, Dicom
from cxrd.settings import Settings
from cxrd.store import backfills, lanes
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.datasets import encoded, film
from support.observing import Noted
from support.rows import rows

FIRST, LAST = date(2020, 1, 1), date(2020, 1, 31)


def archive(port: int, **changes: Any) -> Archive:
    """An archive on loopback that may be asked as often as we like."""
    known = {"name": "old", "ae_title": "PACS", "host": "127.0.0.1", "port": port, "timeout_s": 10}
    return Archive(**{**known, "studies_per_minute": 6e7, **changes})


def old_film(folder: Path, day: str = "20200115", **changes: Any) -> Dataset:
    """A film as a file in an archive's folder."""
    dataset = film(**{"rows": 64, "columns": 64, "StudyDate": day, **changes})
    (folder / f"{dataset.SOPInstanceUID}.dcm").write_bytes(encoded(dataset))
    return dataset


@contextmanager
def listening(database: Database, payload: PayloadStore, port: int = 0) -> Iterator[int]:
    """Our listener's port."""
    settings = Dicom(bind="127.0.0.1", port=port)
    listener = Listener(settings, database, payload, min_free_bytes=0, observer=Noted())
    yield listener.start()
    listener.stop()


class Backfill:
    """A backfill of one month, and the worker that brings it on."""

    def __init__(self, database: Database, source: Archive, *, days: int = 31) -> None:
        self._database = database
        self._fetcher = Fetcher(database, Settings(archives=(source,)))
        self.source = source
        self.ahead_s = 0.0
        with database.write() as connection:
            self.id = backfills.start(
                connection,
                database.now(connection),
                source.name,
                first="20200101",
                last="20200131",
                slices=[part.plain() for part in plan(FIRST, LAST, days)],
                actor="test",
            )

    def step(self, *, meanwhile: Callable[[], None] = lambda: None, closing: Callable[[], None] = lambda: None) -> bool:
        """Do the next thing that is due; False when nothing is.

        Parameters
        ----------
        meanwhile, closing : callable
            Called when it is done and before it is closed; and before the transaction that closes it is committed.
        """
        with self._database.write() as connection:
            now = self._database.now(connection) + self.ahead_s
            held = self._fetcher.claim(connection, now, owner="w1", lease_s=60.0)
        for step in self._fetcher(held):
            meanwhile()
            with self._database.write() as connection:
                step.effect(connection, self._database.now(connection))
                closing()
        return bool(held)

    def run(self, ahead_s: float = 1e-3) -> None:
        """Do everything that is due so many seconds from now."""
        self.ahead_s = ahead_s
        while self.step():
            pass

    def outcomes(self) -> dict[str, tuple[str, int, int]]:
        """State, expected and stored images of each study."""
        found = rows(self._database, "SELECT study_uid, state, expected, stored FROM backfill_study")
        return {uid: (state, expected, stored) for uid, state, expected, stored in found}

    def state(self) -> str:
        """State of the backfill."""
        states = {number: str(state) for number, state in rows(self._database, "SELECT id, state FROM backfill")}
        return states[self.id]

    def pause(self, *, paused: bool) -> None:
        """Let the archive rest, or not."""
        with self._database.write() as connection:
            lanes.pause(connection, 0.0, self.source.name, paused=paused, actor="test")
