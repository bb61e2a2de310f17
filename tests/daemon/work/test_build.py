"""Each destination gets the kinds it asks for, built once and the same again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from sqlalchemy import text

from cxrd.findings import FilmAnalysis
from cxrd.peers import Destination
from cxrd.settings import Work
from cxrd.store import jobs, results
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch.metrics import Metrics
from cxrd.work.build import BuildHandler
from cxrd.work.loop import Loop
from support.analyses import CHARM, FACTS, analysis, answer, fourteen
from support.database import fresh
from support.datasets import encoded, film
from support.rows import STUDY, arrive, rows

EVERYTHING = ("sr", "sc", "gsps", "seg", "pm")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """What is built does not depend on the database: one is enough."""
    with fresh("sqlite", tmp_path) as made:
        yield made


def analysed(database: Database, payload: PayloadStore, digest: str, *, localised: bool = True) -> None:
    """A study whose analysis waits to be built."""
    source = film(StudyInstanceUID=STUDY, SOPInstanceUID=f"{STUDY}.1", SeriesInstanceUID=f"{STUDY}.0")
    png = cv2.imencode(".png", np.full((256, 224), 90, np.uint8))[1].tobytes()
    found = analysis(source, answers=None if localised else (answer(CHARM, *fourteen()),))
    kept = found.films[0].film.model_copy(update={"sha256": payload.put(encoded(source))})
    only = FilmAnalysis(film=kept, preview=payload.put(png), answers=found.films[0].answers)
    new = found.model_copy(update={"films": (only,), "input_digest": digest * 64})
    with database.write() as connection:
        now = database.now(connection)
        made = results.record_inference(connection, now, new)
        jobs.enqueue(
            connection, now, JobKind.BUILD, dedupe=f"build:{made}", study_uid=STUDY, priority=50,
            payload={"inference_id": made},
        )  # fmt: skip


def build(database: Database, payload: PayloadStore, **sends: Sequence[str]) -> None:
    """Build what waits, for destinations of these names."""
    to = [
        Destination.model_validate({"name": n, "ae_title": "PACS", "host": "h", "port": 104, "send": tuple(kinds)})
        for n, kinds in sends.items()
    ]
    loop = Loop(database, BuildHandler(database, payload, to, FACTS, Metrics()), "w1", Work(), Event())
    while not loop.once():
        pass


def deliveries(database: Database) -> dict[str, list[str]]:
    """Kinds that each destination is to get, in the order of sending."""
    query = "SELECT d.dest, a.kind FROM delivery d JOIN artefact a ON a.sop_uid = d.artefact_uid ORDER BY a.kind"
    found: dict[str, list[str]] = {}
    for dest, kind in rows(database, query):
        found.setdefault(dest, []).append(kind)
    return found


def test_each_destination_gets_the_kinds_it_lists(database: Database, payload: PayloadStore) -> None:
    """One flow for all kinds, each built once, images before the reports that speak of them."""
    arrive(database)
    analysed(database, payload, "a")
    build(database, payload, pacs=EVERYTHING, old=("sr-comprehensive", "sc"), ris=("sr-text",))
    assert {
        "pacs": ["gsps", "pm", "sc", "seg", "sr"],
        "old": ["sc", "sr-comprehensive"],
        "ris": ["sr-text"],
    } == deliveries(database)
    assert [(7,)] == rows(database, "SELECT count(*) FROM artefact")


def test_a_study_of_which_no_destination_gets_anything_is_at_its_end(database: Database, payload: PayloadStore) -> None:
    """A destination of regions alone, and a film on which no finding has a place: nothing is left to wait for."""
    arrive(database)
    analysed(database, payload, "a", localised=False)
    build(database, payload, pacs=("seg", "pm"))
    assert {} == deliveries(database)
    ((state, reason),) = rows(database, "SELECT state, reason FROM study")
    assert ("delivered", "its result holds nothing of the kinds that destinations ask for") == (state, reason)


def test_a_later_result_names_the_report_it_replaces_in_every_class(database: Database, payload: PayloadStore) -> None:
    """Also when the destination has asked for another class since."""
    arrive(database)
    analysed(database, payload, "a")
    build(database, payload, pacs=("sr",))
    ((first, kept),) = rows(database, "SELECT sop_uid, sha256 FROM artefact")
    analysed(database, payload, "b")
    build(database, payload, pacs=("sr", "sr-text"))
    later = rows(database, "SELECT kind, supersedes, sha256 FROM artefact WHERE supersedes IS NOT NULL ORDER BY kind")
    assert [("sr", first), ("sr-text", first)] == [row[:2] for row in later]
    for _, _, sha256 in later:
        (study,) = dcmread(payload.path(sha256)).PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        assert first == series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert dcmread(payload.path(kept)).SeriesInstanceUID == series.SeriesInstanceUID


def test_objects_of_a_later_result_are_numbered_after_the_earlier_ones(
    database: Database, payload: PayloadStore
) -> None:
    """They share a series, and a viewer puts its objects in the order of their numbers: the newest stand last."""
    arrive(database)
    for digest in "abc":
        analysed(database, payload, digest)
        build(database, payload, pacs=("sr", "sc"))
    made = rows(database, "SELECT kind, sha256 FROM artefact ORDER BY kind, inference_id")
    numbers = [(kind, dcmread(payload.path(sha256)).InstanceNumber) for kind, sha256 in made]
    assert [("sc", 1), ("sc", 2), ("sc", 3), ("sr", 1), ("sr", 2), ("sr", 3)] == numbers


def test_a_report_waits_for_the_one_that_it_replaces(database: Database, payload: PayloadStore) -> None:
    """The earlier one has failed and comes later, or another builder has it: the two must not stand side by side."""
    arrive(database)
    analysed(database, payload, "a")
    with database.write() as connection:
        connection.execute(text("UPDATE job SET due = due + 50"))
    analysed(database, payload, "b")
    build(database, payload, pacs=("sr",))
    assert [] == rows(database, "SELECT sop_uid FROM artefact")
    for _ in range(3):  # the later one asks once more, then each in its turn
        with database.write() as connection:
            connection.execute(text("UPDATE job SET due = due - 100 WHERE kind = 'build'"))
        build(database, payload, pacs=("sr",))
    (first, replaced), (_, supersedes) = rows(
        database, "SELECT sop_uid, supersedes FROM artefact ORDER BY inference_id"
    )
    assert (None, first) == (replaced, supersedes)
