"""An archive's past is fetched by a whole node, which is killed in the middle of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cxrd import crashpoints
from cxrd.demo.pacs import StandInPacs
from cxrd.store import progress
from cxrd.store.database import Database
from support.fetching import old_film
from support.node import Node, until
from support.packages import make_package
from support.storm import at, stored

pytestmark = pytest.mark.flow
POINTS = tuple(
    p for p in crashpoints.POINTS if p.startswith("fetch_") and not p.endswith(("_claimed", "_after_commit"))
)


def node_with_past(folder: Path, pacs: StandInPacs, films: int) -> tuple[Node, dict[str, bytes]]:
    """A node, and an archive with so many old films; each film's bytes by its study."""
    make_package(folder / "models")
    node = Node(folder, pacs_port=pacs.port, models=folder / "models", archive_port=pacs.port)
    pacs.query.knows["CXRD"] = ("127.0.0.1", node.port)
    made = [old_film(pacs.folder, day=f"202001{n + 1:02d}", rows=220, columns=210) for n in range(films)]
    return node, {str(film.StudyInstanceUID): bytes(film.PixelData) for film in made}


def finished(folder: Path, films: int) -> bool:
    """Whether every study has come."""
    database = Database(f"sqlite:///{folder}/cxrd.db")
    with database.read() as connection:
        (now,) = progress.of(connection, 0.0)
    database.dispose()
    return (now.state, now.complete, now.failed) == ("done", films, 0)


def results_are_whole(node: Node, pacs: StandInPacs, studies: dict[str, bytes], folder: Path) -> None:
    """Every film is here, once, and its results are at the PACS, once."""
    expected = {study: ["CR", "OT", "SR"] for study in studies}
    until(lambda: at(pacs) == expected, seconds=180, what="results")
    assert [] == [uid for uid, digests in pacs.digests.items() if len(digests) != 1]
    kept = list(stored(folder / "payload"))
    assert [] == [study for study, pixels in studies.items() if not any(data.endswith(pixels) for data in kept)]


def begin(node: Node) -> None:
    """Have January 2020 fetched."""
    begun = node.cli("backfill", "start", "old", "--from", "20200101", "--to", "20200131", "--days", "10")
    assert 0 == begun.returncode, begun.stderr


def test_a_node_that_is_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path, pacs: StandInPacs) -> None:
    """The fetcher, the listener and the whole node, by kill -9; nothing is lost or doubled."""
    node, studies = node_with_past(tmp_path, pacs, films=9)
    pacs.query.withholds = lambda _uid, n: n == 1  # each film comes at the second time, so that there is a middle
    with node:
        begin(node)
        until(lambda: len(pacs.query.moved) >= 2, seconds=60, what="films are asked for")
        node.kill_role("fetch")
        until(lambda: len(pacs.query.moved) >= 4, seconds=60, what="more are asked for")
        node.kill_role("listen")
        until(lambda: len(pacs.query.moved) >= 6, seconds=60, what="more are asked for")
        node.kill()
        node.start()
        until(lambda: finished(tmp_path, 9), seconds=180, what="every film has come")
        results_are_whole(node, pacs, studies, tmp_path)
        told = node.cli("backfill", "show", "old", "--json").stdout.splitlines()
        assert {("complete", 1, 1)} == {(r["state"], r["expected"], r["stored"]) for r in map(json.loads, told)}


@pytest.mark.parametrize("point", POINTS, ids=[f"sqlite-{point}" for point in POINTS])
def test_a_crash_costs_no_film(point: str, tmp_path: Path, pacs: StandInPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever place the fetcher's first process ends at."""
    monkeypatch.setitem(os.environ, "CXRD_CRASH_AT", point)
    node, studies = node_with_past(tmp_path, pacs, films=2)
    with node:  # all roles are there before anything is fetched: a listener that is late only costs waits
        begin(node)
        until(lambda: finished(tmp_path, 2), seconds=180, what="every film has come")
        until(lambda: '"code": -9' in node.log.read_text(), seconds=10, what=f"a process ended at {point}")
        results_are_whole(node, pacs, studies, tmp_path)
