"""Chores do not wait for each other."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

from cxrd.peers import Archive, DestinationTls
from cxrd.settings import Schedule, Settings
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch import metrics as m
from cxrd.watch.metrics import Metrics
from cxrd.work.drift import Drifting
from cxrd.work.upkeep import Upkeep
from support.certificates import Authority
from support.node import until
from support.rows import rows


def test_a_long_look_through_the_payload_store_holds_up_no_lease(database: Database, payload: PayloadStore) -> None:
    """The first one of a large store takes minutes; what died meanwhile must not wait for its end."""
    looking, enough, stop = Event(), Event(), Event()

    def look() -> int:
        looking.set()
        enough.wait()
        return 0

    settings, metrics = Settings(schedule=Schedule(reap_s=0.1)), Metrics()
    drifting = Drifting(list, settings, metrics)
    upkeep = Upkeep(
        database,
        payload,
        settings,
        ask=lambda _: True,
        adopt=look,
        retain=lambda: None,
        drifting=drifting,
        metrics=metrics,
    )
    tick = Thread(target=upkeep.run, args=(stop,))
    tick.start()
    try:
        assert looking.wait(60)
        with database.write() as connection:
            now = database.now(connection)
            jobs.enqueue(connection, now, JobKind.INFER, dedupe="a", study_uid="1", priority=50, payload={})
            assert jobs.claim(connection, now, JobKind.INFER, owner="dead", limit=1, lease_s=0.01)
        until(
            lambda: rows(database, "SELECT state FROM job") == [("ready",)], seconds=30, what="the lease is given back"
        )
    finally:
        enough.set()
        stop.set()
        tick.join()


def test_certificates_of_an_archive_are_watched_too(tmp_path: Path, database: Database, payload: PayloadStore) -> None:
    """Its films stop coming on the day one ends, and a backfill runs at night."""
    there = DestinationTls(ca=Authority(tmp_path).file)
    old = Archive(name="old", ae_title="OLD", host="h", port=104, tls=there)
    settings, metrics = Settings(archives=(old,)), Metrics()
    upkeep = Upkeep(
        database,
        payload,
        settings,
        ask=lambda _: True,
        adopt=lambda: 0,
        retain=lambda: None,
        drifting=Drifting(list, settings, metrics),
        metrics=metrics,
    )
    upkeep.look_at_certificates()
    ends_at = metrics.registry.get_sample_value(m.CERTIFICATE_EXPIRY.name, {"which": "archive old ca"})
    assert ends_at is not None
    assert ends_at > 0
