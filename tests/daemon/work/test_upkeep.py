"""Chores do not wait for each other."""

from __future__ import annotations

from threading import Event, Thread

from cxrd.settings import Schedule, Settings
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch.metrics import Metrics
from cxrd.work.drift import Drifting
from cxrd.work.upkeep import Upkeep
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
