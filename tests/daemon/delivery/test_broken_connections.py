"""The network between us and a PACS breaks: the same bytes go again, and the PACS holds one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrd.demo.pacs import SUCCESS
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.deliveries import courier, deliver, peer, scripted, state, waiting
from support.proxy import Fault, Proxy, Way

MIDDLE = 50_000
"""Bytes into an association that carries an object of more than twice as many."""
SMALL, LARGE = 256, 3000
"""Pixels: what is 18 MB does not fit into the buffers on the way to a peer that stopped reading."""


def patience(fault: Fault) -> float:
    """Seconds to wait for a PACS: few where they must pass, and as many as a busy machine may need where not."""
    return 5 if fault is Fault.STALL else 60


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("half_an_answer", [False, True])
@pytest.mark.parametrize("fault", Fault)
def test_an_answer_that_is_lost_doubles_nothing(
    database: Database, payload: PayloadStore, tmp_path: Path, fault: Fault, *, half_an_answer: bool
) -> None:
    """The PACS has stored the object and we do not know it: one file, one UID, one set of bytes in the end."""
    uid = waiting(database, payload)
    answer = scripted(SUCCESS)

    def behave(asked: str, receipt: int) -> int:
        if receipt == 1:
            proxy.spoil(fault, Way.ANSWER, after=3 if half_an_answer else 0)
        return answer(asked, receipt)

    with peer(tmp_path / "pacs", behave) as pacs, Proxy(pacs.port) as proxy:
        carry = courier(database, payload, proxy.port, timeout_s=patience(fault))
        deliver(database, carry)
        assert proxy.broken.is_set()
        assert ("ready", "reported") == state(database)
        deliver(database, carry)
        assert ("done", "delivered") == state(database)
        assert (2, 1) == (pacs.receipts[uid], len(pacs.digests[uid]))
        assert [f"{uid}.dcm"] == [path.name for path in pacs.folder.iterdir()]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("way", "after", "fault", "side"),
    [
        *((Way.ANSWER, 0, fault, SMALL) for fault in Fault),  # the association is not even accepted
        *((Way.REQUEST, MIDDLE, fault, SMALL) for fault in Fault),
        (Way.REQUEST, MIDDLE, Fault.STALL, LARGE),
    ],
)
def test_half_an_object_is_sent_again(  # noqa: PLR0913, PLR0917 - a case has four parts
    database: Database, payload: PayloadStore, tmp_path: Path, way: Way, after: int, fault: Fault, side: int
) -> None:
    """The PACS got a part, or nothing."""
    uid = waiting(database, payload, side)
    with peer(tmp_path / "pacs", scripted(SUCCESS)) as pacs, Proxy(pacs.port) as proxy:
        proxy.spoil(fault, way, after=after)
        deliver(database, courier(database, payload, proxy.port, timeout_s=patience(fault)))
        assert proxy.broken.is_set()
        assert ("ready", "reported", {}) == (*state(database), dict(pacs.receipts))
        deliver(database, courier(database, payload, proxy.port, timeout_s=60))
        assert ("done", "delivered") == state(database)
        assert (1, 1) == (pacs.receipts[uid], len(pacs.digests[uid]))
