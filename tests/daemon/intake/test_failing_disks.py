"""Disks that are full, failing or read-only: the sender keeps its film, and gets rid of it when the disk is back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cxrd.intake.listener import OUT_OF_RESOURCES, SUCCESS
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.datasets import film
from support.door import Door
from support.rows import rows
from support.volumes import Volume, no_file_beyond, volume

HALF_A_FILM = 50_000


@dataclass
class Place:
    """A listener without a watermark, so that it meets the fault itself, and its two volumes."""

    door: Door
    database: Database
    payload: PayloadStore
    volumes: dict[str, Volume]

    def fault(self, kind: str, where: str) -> AbstractContextManager[None]:
        """Break a volume for a while."""
        match kind:
            case "full":
                return self.volumes[where].full()
            case "read-only":
                self.database.dispose()  # the kernel lets nobody make a volume read-only under an open file
                return self.volumes[where].read_only()
        return no_file_beyond(HALF_A_FILM if where == "payload" else self._log().stat().st_size)

    def _log(self) -> Path:
        """SQLite's write-ahead log, which is longer than a film after the migrations."""
        (log,) = self.volumes["database"].folder.glob("*-wal")
        assert log.stat().st_size > 3 * HALF_A_FILM
        return log


@contextmanager
def opened(place: Path) -> Iterator[Place]:
    """A listener over two small volumes."""
    with volume(place / "payload", megabytes=4) as one, volume(place / "database", megabytes=4) as two:
        database, payload = Database(f"sqlite:///{two.folder}/cxrd.db"), PayloadStore(one.folder / "store")
        database.upgrade()
        door = Door(database, payload)
        yield Place(door, database, payload, {"payload": one, "database": two})
        door.listener.stop()
        database.dispose()


@pytest.mark.parametrize("where", ["payload", "database"])
@pytest.mark.parametrize("kind", ["full", "read-only", "failing"])
def test_the_sender_keeps_its_film_until_the_disk_is_back(tmp_path: Path, kind: str, where: str) -> None:
    """0xA700 and no row, whatever is broken; afterwards the same film is taken, and the database is sound."""
    with opened(tmp_path) as place:
        assert SUCCESS == place.door.store(film())
        dataset = film()
        with place.fault(kind, where):
            assert [OUT_OF_RESOURCES] * 2 == [place.door.store(dataset) for _ in range(2)]
        assert [(1,)] == rows(place.database, "SELECT count(*) FROM instance")
        assert SUCCESS == place.door.store(dataset)
        assert [(2,)] == rows(place.database, "SELECT count(*) FROM instance")
        assert [("ok",)] == rows(place.database, "PRAGMA integrity_check")
        for (sha256,) in rows(place.database, "SELECT sha256 FROM instance"):
            place.payload.get(sha256)
        assert [] == list((place.payload.root / "incoming").iterdir())


@pytest.mark.parametrize("where", ["payload", "database"])
def test_films_are_turned_away_before_a_volume_is_full(tmp_path: Path, where: str) -> None:
    """The watermark looks at both, so that what is here already can still be worked on."""
    with opened(tmp_path) as place:
        careful = Door(place.database, place.payload, min_free=2**20)
        with place.volumes[where].full(leave=2**19):
            assert OUT_OF_RESOURCES == careful.store(film())
        assert SUCCESS == careful.store(film())
        careful.listener.stop()


def test_a_volume_that_is_gone_leaves_the_film_with_its_sender(tmp_path: Path) -> None:
    """Unmounted, or a file server away: 0xA700 as for any disk; 0xC000 would tell of a film that is no good."""
    with opened(tmp_path) as place:
        shutil.rmtree(place.payload.root)
        assert OUT_OF_RESOURCES == place.door.store(film())
