"""kill -9 at random while films arrive and the PACS misbehaves; judged from outside.

A short storm belongs to every test run; ``make storm`` takes a long one (``--storm-seconds``).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from cxrd.demo.pacs import SUCCESS, StandInPacs
from support.database import database_url
from support.node import Node, until
from support.packages import make_package
from support.storm import Sender, at, on_disk

pytestmark = [pytest.mark.flow, pytest.mark.storm]
VICTIMS = ("listen", "infer", "build", "deliver", "tick", "web", "supervisor")
BUSY = 0xA700


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StandInPacs]:
    """A PACS that is out of resources every fifth time."""
    (tmp_path / "pacs").mkdir()
    luck = random.Random(1)  # noqa: S311 - a script, not a secret
    peer = StandInPacs(tmp_path / "pacs", "PACS", behave=lambda _uid, _n: BUSY if luck.random() < 0.2 else SUCCESS)
    peer.start()
    yield peer
    peer.stop()


def kill_at_random(node: Node, seconds: float, luck: random.Random) -> int:
    """Kill roles and the supervisor until the time is over; how many were killed."""
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        victim = luck.choice(VICTIMS)
        if victim == "supervisor":
            node.kill()
            until(lambda: not node.children(), seconds=10, what="children die with the supervisor")
            node.start(wait=False)
            kills += 1
        elif victim in node.children():
            node.kill_role(victim)
            kills += 1
        time.sleep(luck.uniform(0.2, 1.2))
    return kills


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_storm_loses_nothing_and_doubles_nothing(
    kind: str, tmp_path: Path, pacs: StandInPacs, pytestconfig: pytest.Config
) -> None:
    """Every acknowledged film is on disk as it was sent, and has exactly one SR and one SC at the PACS."""
    seconds = float(pytestconfig.getoption("--storm-seconds"))
    make_package(tmp_path / "models")
    with database_url(kind, tmp_path) as url:
        node = Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models", database=url, crashes=100_000, lease_s=4)
        assert 0 == node.cli("db", "upgrade").returncode
        with node:
            sender = Sender(node, tmp_path)
            thread = Thread(target=sender.run)
            thread.start()
            kills = kill_at_random(node, seconds, random.Random(7))  # noqa: S311 - a script, not a secret
            sender.stop.set()
            thread.join(timeout=180)
            assert not thread.is_alive()
            until(node.ready, seconds=90, what="the node is ready after the storm")
            expected = {study: ["OT", "SR"] for study in sender.acknowledged.values()}
            until(lambda: at(pacs) == expected, seconds=240, what="every study has its report and its picture")
            until(lambda: {row["state"] for row in node.studies()} == {"delivered"}, seconds=60, what="states agree")
        differing = [uid for uid, digests in pacs.digests.items() if len(digests) != 1]
        lost = [uid for uid, data in sender.bodies.items() if not on_disk(tmp_path / "payload", data)]
        print(f"\n{kind}: kills {kills}, films {len(expected)}, lost {len(lost)}, differing bytes {len(differing)}")
        assert [] == lost
        assert [] == differing
        assert kills > seconds / 4
