"""The network between a modality and us breaks in the middle of a film: the modality still has it, and we have room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrd.delivery.sender import Outcome, Outgoing, SendResult, send
from cxrd.peers import Destination
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.datasets import encoded, film
from support.door import Door
from support.node import until
from support.proxy import Fault, Proxy, Way
from support.rows import rows

MIDDLE = 50_000
"""Bytes into an association that carries a film of twice as many."""


@pytest.fixture
def door(database: Database, payload: PayloadStore) -> Iterator[Door]:
    """A listener with room for one association, which gives up after two seconds of silence."""
    made = Door(database, payload, max_associations=1, timeout_s=2)
    yield made
    made.listener.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A film on the modality."""
    made = tmp_path / "film.dcm"
    made.write_bytes(encoded(film()))
    return made


def store(port: int, path: Path) -> SendResult:
    """Send the film; the modality waits five seconds for anything."""
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=port, timeout_s=5)
    (result,) = send(target, "PACS", [Outgoing.of(path)])
    return result


@pytest.mark.parametrize("fault", Fault)
def test_half_a_film_is_none(database: Database, payload: PayloadStore, door: Door, path: Path, fault: Fault) -> None:
    """No answer, no row, no file; the association ends by itself, and the film comes whole the next time."""
    with Proxy(door.port) as proxy:
        proxy.spoil(fault, Way.REQUEST, after=MIDDLE)
        first = store(proxy.port, path)
        assert proxy.broken.is_set()
        assert (Outcome.RETRY, None) == (first.outcome, first.status)
        assert [] == rows(database, "SELECT sop_uid FROM instance")
        assert [] == [p for p in payload.root.rglob("*") if p.is_file()]
        until(lambda: store(proxy.port, path).outcome is Outcome.STORED, seconds=90, what="the film is taken")
    assert [("stored",)] == [(outcome,) for _, outcome, _ in door.noted.instances]


@pytest.mark.parametrize("fault", Fault)
def test_an_answer_that_is_lost_costs_a_resend(database: Database, door: Door, path: Path, fault: Fault) -> None:
    """The film is ours, the modality does not know it: it sends again, and nothing is doubled."""
    with Proxy(door.port) as proxy:
        door.before_answer(lambda: proxy.spoil(fault, Way.ANSWER))
        assert Outcome.RETRY is store(proxy.port, path).outcome
        assert [(1,)] == rows(database, "SELECT rev FROM job")
        until(lambda: store(proxy.port, path).outcome is Outcome.STORED, seconds=90, what="the film is taken")
    assert ["stored", "duplicate"] == [outcome for _, outcome, _ in door.noted.instances]
    assert [(1, "ready")] == rows(database, "SELECT rev, state FROM job")
