"""A result that waits, a courier that carries it, and a PACS that behaves as told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxrd.delivery.committer import Committer
from cxrd.delivery.courier import Courier
from cxrd.demo.pacs import Behaviour, StandInPacs
from cxrd.findings import ArtefactKind
from cxrd.peers import Destination
from cxrd.settings import Delivery, Settings
from cxrd.store import lanes, results
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from support.datasets import encoded, film
from support.rows import arrive, record, rows


@contextmanager
def peer(folder: Path, behave: Behaviour) -> Iterator[StandInPacs]:
    """A PACS that behaves as told."""
    folder.mkdir(exist_ok=True)
    made = StandInPacs(folder, "PACS", behave=behave)
    made.start()
    yield made
    made.stop()


def courier(
    database: Database,
    payload: PayloadStore,
    port: int,
    name: str = "pacs",
    timeout_s: float = 5,
    *,
    commit: bool = False,
) -> Courier:
    """A courier with one destination and hardly any wait."""
    told = destined(database, port, name, timeout_s, commit=commit)
    return Courier(database, payload, told, Metrics())


def destined(database: Database, port: int, name: str = "pacs", timeout_s: float = 5, *, commit: bool) -> Settings:
    """Settings with one destination and hardly any wait."""
    destination = Destination(
        name=name, ae_title="PACS", host="127.0.0.1", port=port, timeout_s=timeout_s, commit=commit, commit_hold_s=1
    )
    with database.write() as connection:
        lanes.register(connection, [name])
    waits = Delivery(backoff_base_s=0.001, backoff_cap_s=0.001, commit_base_s=200, commit_cap_s=1000)
    return Settings(destinations=(destination,), delivery=waits)


def waiting(
    database: Database,
    payload: PayloadStore,
    side: int = 256,
    dests: Sequence[str] = ("pacs",),
    *,
    digest: str = "a",
) -> str:
    """A study with one object to deliver, a picture of ``side`` x ``side``; its UID."""
    arrive(database)
    dataset = film(rows=side, columns=side)
    made = results.NewArtefact(
        kind=ArtefactKind.SR,
        sop_class=dataset.SOPClassUID,
        sop_uid=dataset.SOPInstanceUID,
        sha256=payload.put(encoded(dataset)),
        size=1,
    )
    with database.write() as connection:
        now = database.now(connection)
        inference = record(connection, now, digest)
        results.record_artefacts(
            connection, now, inference, [made], dict.fromkeys(dests, (ArtefactKind.SR,)), priority=50
        )
    return str(dataset.SOPInstanceUID)


def deliver(database: Database, carry: Courier | Committer, *, later_s: float = 0.001) -> None:
    """Work once on what is due so many seconds from now."""
    for _ in range(1000):
        with database.write() as connection:
            held = carry.claim(connection, database.now(connection) + later_s, owner="w1", lease_s=60.0)
        if held:
            break
    assert held, "nothing was due"
    for step in carry(held):
        with database.write() as connection:
            step.effect(connection, database.now(connection))


def state(database: Database) -> tuple[str, str]:
    """State of the delivery job and of the study."""
    ((job,),) = rows(database, "SELECT state FROM job WHERE kind = 'deliver'")
    ((study,),) = rows(database, "SELECT state FROM study")
    return job, study


def scripted(*answers: int) -> Callable[[str, int], int]:
    """A PACS that answers so, and so, and so."""
    return lambda _uid, receipt: answers[min(receipt, len(answers)) - 1]
