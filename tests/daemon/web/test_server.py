"""What monitors and people see over HTTP."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cxrd.peers import Archive, Destination, Dicom, Source
from cxrd.settings import ROLES, Settings, Storage
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch import metrics as m
from cxrd.web.exposition import StoreCollector, exposition
from cxrd.web.server import application
from support.browsing import local
from support.rows import STUDY, arrive, reported

SETTINGS = Settings(
    storage=Storage(min_free_mb=0),
    destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, commit=True),),
    archives=(Archive(name="old", ae_title="OLD", host="127.0.0.1", port=104),),
)


@pytest.fixture
def client(database: Database, payload: PayloadStore) -> TestClient:
    """A client of a node that has received one study and built its objects."""
    arrive(database)
    reported(database)
    return local(application(SETTINGS, database, payload))


def beat(database: Database, *roles: str) -> None:
    """Make roles known."""
    with database.write() as connection:
        for role in roles:
            jobs.register_worker(connection, database.now(connection), f"{role}@test", role=role, version="0")


def test_the_process_is_alive(client: TestClient) -> None:
    """Liveness asks nothing of the store."""
    assert (200, "ok\n") == (client.get("/healthz").status_code, client.get("/healthz").text)


def test_ready_when_every_role_beats(client: TestClient, database: Database) -> None:
    """And not before; the answer names who is missing and what to do."""
    beat(database, *ROLES[:-1])
    early = client.get("/readyz")
    assert 503 == early.status_code
    assert "RED role web: never seen" in early.text
    beat(database, ROLES[-1])
    assert 200 == client.get("/readyz").status_code
    assert client.get("/api/v1/health").json()["ready"]


def test_metrics_carry_what_the_store_knows(client: TestClient, database: Database) -> None:
    """Every metric that is read from the store has a sample."""
    beat(database, *ROLES)
    text = client.get("/metrics").text
    assert 'cxrd_studies{state="reported"} 1.0' in text
    assert 'cxrd_queue_jobs{kind="deliver",state="ready"} 1.0' in text
    for metric in m.TABLE:
        if metric.kind is m.Kind.QUERY:
            assert f"\n{metric.name}" in text, metric.name


def test_a_role_that_nobody_runs_is_a_silent_one(client: TestClient, database: Database) -> None:
    """Workers that left in order have no row; without a sample no alert would tell that films wait for them."""
    beat(database, "listen")
    text = client.get("/metrics").text
    assert 'cxrd_heartbeat_age_seconds{role="infer"} +Inf' in text
    assert 'cxrd_heartbeat_age_seconds{role="listen"} +Inf' not in text
    assert 'cxrd_heartbeat_age_seconds{role="listen"} ' in text


def test_a_store_that_takes_long_to_count_is_asked_less_often(database: Database, payload: PayloadStore) -> None:
    """Ten million rows, read anew at each scrape of each host, would leave the database no time for the work."""
    moments = iter([0.0, 2.0, 10.0, 19.9, 20.1, 20.2])
    collector = StoreCollector(SETTINGS, database, payload, clock=lambda: next(moments))
    counted = [exposition(collector, "").count(b'cxrd_studies{state="received"} 0.0')]  # it takes two seconds
    arrive(database)
    counted += [exposition(collector, "").count(b'cxrd_studies{state="received"} 0.0') for _ in range(3)]
    assert [1, 1, 1, 0] == counted


def test_who_left_the_configuration_is_shown_no_more(database: Database, payload: PayloadStore) -> None:
    """An alert about a source or a destination that is gone could never end."""
    arrive(database)
    reported(database)
    settings = Settings(storage=Storage(min_free_mb=0), dicom=Dicom(sources=(Source(name="other", ae_title="CT"),)))
    text = local(application(settings, database, payload)).get("/metrics").text
    assert 'cxrd_last_instance_timestamp_seconds{source="other"} 0.0' in text
    assert 'source="pacs"' not in text
    assert "cxrd_oldest_undelivered_age_seconds{" not in text


def test_a_source_that_nobody_watches_is_never_silent(database: Database, payload: PayloadStore) -> None:
    """An archive sends what is fetched from it: when a backfill is done, the alert on its silence would never end."""
    arrive(database)  # of source "pacs"
    archive = Source(name="pacs", ae_title="PACS", watched=False)
    for sources in ((archive,), (archive, Source(name="ct", ae_title="CT"))):
        settings = Settings(storage=Storage(min_free_mb=0), dicom=Dicom(sources=sources))
        node = local(application(settings, database, payload))
        text = node.get("/metrics").text
        assert 'cxrd_last_instance_timestamp_seconds{source="pacs"}' not in text
        assert (len(sources) > 1) == ('cxrd_last_instance_timestamp_seconds{source="ct"} 0.0' in text)
        assert "pacs" in node.get("/").text


def test_no_metric_names_a_patient(database: Database, client: TestClient) -> None:
    """Neither as a label nor as a value."""
    arrive(database, 2, study_uid="1.9", patient_id="SECRET-4711", accession="SECRET-A")
    assert "SECRET" not in client.get("/metrics").text


def test_the_page_lists_the_newest_studies(client: TestClient) -> None:
    """Readable without a network."""
    page = client.get("/").text
    assert STUDY in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(("zone", "told"), [("UTC", "UTC+00:00"), ("Asia/Kolkata", "UTC+05:30")])
def test_the_page_says_whose_clock_it_goes_by(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, zone: str, told: str
) -> None:
    """A container's is UTC unless it is told otherwise, and an hour is much when a film is looked for."""
    with monkeypatch.context() as machine:
        machine.setenv("TZ", zone)
        time.tzset()
        assert f"Times: {told}" in client.get("/").text
    time.tzset()


def test_a_store_that_is_away_is_said(tmp_path: Path, payload: PayloadStore) -> None:
    """The page answers 503 with the reason; liveness and disk stay."""
    broken = local(application(Settings(), Database(f"sqlite:///{tmp_path}/empty.db"), payload))
    page = broken.get("/")
    assert (503, "5") == (page.status_code, page.headers["retry-after"])
    assert "the database refused" in page.text
    assert 503 == broken.get("/readyz").status_code
    assert "cxrd db upgrade" in broken.get("/readyz").text
    assert 200 == broken.get("/healthz").status_code
    assert 200 == broken.get("/metrics").status_code


def test_a_payload_volume_that_is_gone_is_said(database: Database, payload: PayloadStore) -> None:
    """A red line with what to do, and a figure of its own; what the database knows is told all the same."""
    node = local(application(SETTINGS, database, payload))
    shutil.rmtree(payload.root)
    told = node.get("/readyz")
    assert 503 == told.status_code
    assert "RED disk" in told.text
    assert "is its volume mounted?" in told.text
    text = node.get("/metrics").text
    assert 'cxrd_store_up{store="payload"} 0.0' in text
    assert 'cxrd_store_up{store="database"} 1.0' in text
    assert 'cxrd_studies{state="reported"}' in text
    assert "Not ready" in node.get("/").text


def test_a_database_that_is_away_is_said_to_monitors(tmp_path: Path, payload: PayloadStore) -> None:
    """Its figures are gone, and an alert on one of them would end; this one begins."""
    text = local(application(Settings(), Database(f"sqlite:///{tmp_path}/empty.db"), payload)).get("/metrics").text
    assert 'cxrd_store_up{store="database"} 0.0' in text
    assert "\ncxrd_spool_free_bytes " in text
    assert "\ncxrd_studies{" not in text
