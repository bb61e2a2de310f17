"""kill -9 at random while films arrive and the PACS misbehaves; judged from outside.

A short storm belongs to every test run; ``make storm`` takes a long one (``--storm-seconds``).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import pytest
from pydicom import dcmread

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import SUCCESS, StandInPacs
from cxrd.settings import Destination
from support.database import database_url
from support.datasets import encoded, film
from support.node import Node, until
from support.packages import make_package

pytestmark = [pytest.mark.flow, pytest.mark.storm]
VICTIMS = ("listen", "infer", "build", "deliver", "tick", "web", "supervisor")
BUSY = 0xA700


@dataclass
class Sender:
    """A PACS that forwards films and repeats each until it is acknowledged."""

    node: Node
    folder: Path
    acknowledged: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        """Send new films until told to stop; the one in hand is always brought to its end."""
        while not self.stop.is_set():
            dataset = film(rows=220, columns=210)
            path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
            path.write_bytes(encoded(dataset))
            self.until_acknowledged(Outgoing.of(path), dataset.StudyInstanceUID)

    def until_acknowledged(self, item: Outgoing, study: str) -> None:
        """Repeat one film."""
        target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=self.node.port, timeout_s=5)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            (result,) = send(target, "PACS", [item])
            if result.outcome is Outcome.STORED:
                self.bodies[item.sop_uid] = body(item.path)
                self.acknowledged[item.sop_uid] = study
                return
            time.sleep(0.1)
        raise AssertionError(f"not acknowledged in two minutes: {result.message}")


def body(path: Path) -> bytes:
    """The encoded data set of a Part 10 file."""
    data = path.read_bytes()
    return data[132 + 12 + dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength :]


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


def at(pacs: StandInPacs) -> dict[str, list[str]]:
    """Modality of each object at the PACS, by study."""
    found: dict[str, list[str]] = {}
    for path in list(pacs.folder.glob("*.dcm")):
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "Modality"])
        found.setdefault(dataset.StudyInstanceUID, []).append(dataset.Modality)
    return {study: sorted(kinds) for study, kinds in found.items()}


def on_disk(payload: Path, data: bytes) -> bool:
    """Whether some payload file carries this data set, under a name that is its hash."""
    for path in payload.glob("??/??/*"):
        stored = path.read_bytes()
        if stored.endswith(data):
            return sha256(stored).hexdigest() == path.name
    return False
