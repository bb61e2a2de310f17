"""A process ends at each named place once; afterwards nothing is lost, doubled or different.

``kill -9`` leaves the page cache whole, so these tests prove the order of commits, not of fsyncs: that order is
pinned by ``tests/daemon/store/test_payload.py``, which sees every call.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxrd import crashpoints
from cxrd.demo.pacs import StandInPacs
from cxrd.store.database import Database
from support.database import database_url
from support.node import Node, until
from support.packages import make_package
from support.rows import rows
from support.storm import Sender, at, lost

pytestmark = pytest.mark.flow
COMMITS = tuple(p for p in crashpoints.POINTS if p.endswith("_before_commit"))
"""Where a server has seen part of a transaction; once it has committed, the two databases do not differ."""
LIVE = tuple(p for p in crashpoints.POINTS if not p.startswith("fetch_"))
"""Those of a backfill are tried in test_backfill.py."""
CASES = [*(("sqlite", p) for p in LIVE), *(("postgresql", p) for p in COMMITS if p in LIVE)]


@pytest.mark.parametrize(("kind", "point"), CASES, ids=["-".join(case) for case in CASES])
def test_a_crash_here_costs_nothing(
    kind: str, point: str, tmp_path: Path, pacs: StandInPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two films reach the PACS as one SR and one SC each, whichever place the roles' first processes end at."""
    make_package(tmp_path / "models")
    monkeypatch.setitem(os.environ, "CXRD_CRASH_AT", point)
    with database_url(kind, tmp_path) as url:
        node = Node(
            tmp_path, pacs_port=pacs.port, models=tmp_path / "models", database=url, crashes=50, lease_s=4, commit=True
        )
        pacs.commitments.reports_to = ("127.0.0.1", node.port)
        assert 0 == node.cli("db", "upgrade").returncode
        node.start(wait=False)
        try:
            sender = Sender(node, tmp_path)
            for _ in range(2):
                sender.one()
            expected = {study: ["OT", "SR"] for study in sender.acknowledged.values()}
            until(lambda: at(pacs) == expected, seconds=90, what=f"results at the PACS\n{tail(node)}")
            until(lambda: '"code": -9' in node.log.read_text(), seconds=30, what=f"a process ended at {point}")
            until(lambda: {row["state"] for row in node.studies()} == {"delivered"}, seconds=60, what="states agree")
            until(lambda: committed(url) == [True] * 4, seconds=60, what=f"the PACS has committed all\n{tail(node)}")
        finally:
            node.stop()
    assert [] == [uid for uid, digests in pacs.digests.items() if len(digests) != 1]
    assert [] == lost(sender.bodies, tmp_path / "payload")
    assert [] == list((tmp_path / "payload" / "incoming").glob("*.dcm"))


def committed(url: str) -> list[bool]:
    """Whether the PACS has committed each object."""
    database = Database(url)
    found = [at is not None for (at,) in rows(database, "SELECT committed_at FROM delivery")]
    database.dispose()
    return found


def tail(node: Node) -> str:
    """What the node said last."""
    return node.log.read_text()[-3000:]
