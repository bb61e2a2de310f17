"""Who calls the page in tests, and a node with something to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from starlette.applications import Starlette
from starlette.testclient import TestClient

from cxrd.demo.samples import samples
from cxrd.imaging.header import read_header
from cxrd.inference.engine import load
from cxrd.report.facts import ReportFacts
from cxrd.settings import Settings, Work
from cxrd.store import jobs, lanes
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch.metrics import Metrics
from cxrd.work.build import BuildHandler
from cxrd.work.decoding import Decoders
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop
from support.packages import make_package
from support.rows import arrive

DEAD = "the destination is not what it was"


@dataclass(frozen=True)
class Filled:
    """A node that has worked."""

    settings: Settings
    database: Database
    payload: PayloadStore
    studies: dict[str, str]


def local(app: Starlette) -> TestClient:
    """A browser on this machine."""
    return TestClient(app, base_url="http://127.0.0.1:8080", client=("127.0.0.1", 4711))


def remote(app: Starlette) -> TestClient:
    """A browser elsewhere in the hospital."""
    return TestClient(app, base_url="http://10.1.2.3:8080", client=("10.9.9.9", 4711))


def fill(database: Database, payload: PayloadStore, settings: Settings, folder: Path) -> dict[str, str]:
    """Analyse phantom films with a tiny model, build objects, and let one delivery die; UIDs by name."""
    films = samples("page", rows=256)
    studies = {}
    for number, (name, data) in enumerate(films.items(), 1):
        header = read_header(data)
        studies[name] = str(header.StudyInstanceUID)
        told = {"study_uid": studies[name], "sop_uid": str(header.SOPInstanceUID), "accession": f"A-{name}"}
        arrive(database, number, **told, sha256=payload.put(data), patient_id=f"ID-{name}")
    classifier, metrics = load(make_package(folder / "models"), "cpu"), Metrics()
    with database.write() as connection:
        lanes.register(connection, [d.name for d in settings.destinations])
    facts = ReportFacts.of(settings.report, software_version="0")
    for handler in (
        InferHandler(database, payload, [classifier], Decoders(0, 30), settings, metrics),
        BuildHandler(database, payload, settings.destinations, facts, metrics),
    ):
        loop = Loop(database, handler, "w1", Work(), Event())
        while not loop.once():  # until the first is due
            pass
        while loop.once():
            pass
    with database.write() as connection:
        now = database.now(connection)
        (held,) = jobs.claim(
            connection, now + 1, JobKind.DELIVER, owner="w", limit=1, lease_s=60, lane=settings.destinations[0].name
        )
        jobs.bury(connection, now, held, error=DEAD)
    return {**studies, "dead": held.study_uid}
