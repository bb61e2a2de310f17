"""kill -9 at random while films arrive and the PACS misbehaves; judged from outside.

A short storm belongs to every test run; ``make storm`` takes a long one (``--storm-kills``).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cxrd.demo.pacs import SUCCESS, StandInPacs
from cxrd.store.database import Database
from support.database import database_url
from support.node import Node, until
from support.packages import make_package
from support.rows import rows
from support.storm import Sender, at, lost

pytestmark = [pytest.mark.flow, pytest.mark.storm]
VICTIMS = ("listen", "infer", "build", "deliver", "tick", "web", "supervisor")
BUSY = 0xA700
STARTED = 0.5
"""How often a new supervisor may start everything before the next kill; else it is met in the middle of that."""
TOLD = """
SELECT {table}.{key}, count(audit.id) FROM {table}
LEFT JOIN audit ON audit.subject = {table}.{key} AND audit.what = '{what}'
GROUP BY {table}.{key} HAVING count(audit.id) <> 1
"""


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StandInPacs]:
    """A PACS that is out of resources every fifth time."""
    (tmp_path / "pacs").mkdir()
    luck = random.Random(1)  # noqa: S311 - a script, not a secret
    peer = StandInPacs(tmp_path / "pacs", "PACS", behave=lambda _uid, _n: BUSY if luck.random() < 0.2 else SUCCESS)
    peer.start()
    yield peer
    peer.stop()


def kill_at_random(node: Node, kills: int, luck: random.Random) -> Counter[str]:
    """Kill so many times, each role and the supervisor in turn but in no order; how often each was.

    A role that is not up yet is waited for: on a slow machine nearly every kill would hit the supervisor instead.
    """
    killed: Counter[str] = Counter()
    deck: list[str] = []
    while killed.total() < kills:
        deck = deck or luck.sample(VICTIMS, len(VICTIMS))
        victim = deck.pop()
        if victim == "supervisor":
            node.kill()
            until(lambda: not node.children(), seconds=120, what="children die with the supervisor")
            node.start(wait=luck.random() < STARTED)
        else:
            until(partial(_runs, node, victim), seconds=60, what=f"{victim} runs")
            node.kill_role(victim)
        killed[victim] += 1
        time.sleep(luck.uniform(0.2, 1.2))
    return killed


def _runs(node: Node, role: str) -> bool:
    return role in node.children()


def disagreements(url: str) -> list[tuple[Any, ...]]:
    """What the audit trail tells otherwise than the rows: an image or a delivery that is not told exactly once."""
    database = Database(url)
    try:
        return [
            *rows(database, TOLD.format(key="sop_uid", table="instance", what="instance_stored")),
            *rows(database, TOLD.format(key="uid", table="study", what="study_delivered")),
            *rows(database, TOLD.format(key="sop_uid", table="artefact", what="object_delivered")),
        ]
    finally:
        database.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_storm_loses_nothing_and_doubles_nothing(
    kind: str, tmp_path: Path, pacs: StandInPacs, pytestconfig: pytest.Config
) -> None:
    """Every acknowledged film is on disk as it was sent, and has exactly one SR and one SC at the PACS."""
    kills = int(pytestconfig.getoption("--storm-kills"))
    make_package(tmp_path / "models")
    with database_url(kind, tmp_path) as url:
        node = Node(
            tmp_path,
            pacs_port=pacs.port,
            models=tmp_path / "models",
            database=url,
            crashes=100_000,
            listeners=2,
            lease_s=4,
        )
        assert 0 == node.cli("db", "upgrade").returncode
        with node:
            sender = Sender(node, tmp_path)
            thread = Thread(target=sender.run)
            thread.start()
            killed = kill_at_random(node, kills, random.Random(7))  # noqa: S311 - a script, not a secret
            sender.stop.set()
            thread.join(timeout=180)
            assert not thread.is_alive()
            until(node.ready, seconds=90, what="the node is ready after the storm")
            expected = {study: ["OT", "SR"] for study in sender.acknowledged.values()}
            until(lambda: at(pacs) == expected, seconds=240, what="every study has its report and its picture")
            until(lambda: {row["state"] for row in node.studies()} == {"delivered"}, seconds=60, what="states agree")
            trail = node.cli("audit", "verify", "--json")
        doubled = sum(len(kinds) - len(set(kinds)) for kinds in at(pacs).values())
        differing = [uid for uid, digests in pacs.digests.items() if len(digests) != 1]
        missing = lost(sender.bodies, tmp_path / "payload")
        told = disagreements(url)
    by_victim = ", ".join(f"{role} {n}" for role, n in sorted(killed.items()))
    print(f"\n{kind}: kills {killed.total()} ({by_victim}), films {len(expected)}, lost {len(missing)}, ", end="")
    print(f"duplicate {doubled}, differing bytes {len(differing)}, audit rows that disagree {len(told)}")
    assert [] == missing
    assert 0 == doubled
    assert [] == differing
    assert [] == told
    assert 0 == trail.returncode, trail.stdout
    assert expected, "a storm in which nothing arrived proves nothing"
