"""Several processes take callers at one port: any of them may die, and the node's limits are the node's."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.peers import Destination
from support.datasets import CR
from support.node import Node, until
from support.packages import make_package

pytestmark = pytest.mark.flow
LISTENERS = ("listen", "listen-2", "listen-3")
AT_ONCE = 6


@pytest.fixture
def node(tmp_path: Path, pacs: StandInPacs) -> Iterator[Node]:
    """A node with three listeners and room for six associations."""
    make_package(tmp_path / "models")
    made = Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models", listeners=3)
    made.config.write_text(made.config.read_text().replace("[dicom]", f"[dicom]\nmax_associations = {AT_ONCE}"))
    with made as running:
        until(lambda: set(LISTENERS) <= running.children().keys(), seconds=60, what="three listeners run")
        yield running


def call(node: Node, title: str = "PACS") -> Association:
    """Ask for an association."""
    entity = AE(title)
    entity.add_requested_context(CR)
    return entity.associate("127.0.0.1", node.port, ae_title="CXRD")


def fill(node: Node) -> list[Association]:
    """Associations until one is rejected; those that were accepted."""
    held: list[Association] = []
    while (one := call(node)).is_established:
        held.append(one)
        assert len(held) <= AT_ONCE
    assert one.is_rejected
    return held


def holders(node: Node) -> Counter[str]:
    """How many connections of callers each listener holds, from the kernel's tables."""
    port = f":{node.port:04X}"
    ours = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(port) and words[3] == "01":  # established
            ours.add(f"socket:[{words[9]}]")
    found: Counter[str] = Counter()
    for name in LISTENERS:
        for file in Path(f"/proc/{node.children()[name]}/fd").iterdir():
            found[name] += str(file.readlink()) in ours
    return found


def test_the_limit_is_that_of_the_node_and_a_killed_listener_leaves_no_place_taken(node: Node) -> None:
    """Six in all, whichever process took them; after a kill -9 of each, six again."""
    held = fill(node)
    assert AT_ONCE == len(held)
    assert AT_ONCE == holders(node).total()
    before = node.children()
    for name in LISTENERS:
        node.kill_role(name)
    until(
        lambda: all(node.children().get(name, before[name]) != before[name] for name in LISTENERS),
        seconds=60,
        what="all three run again",
    )
    assert AT_ONCE == len(fill(node))  # callers waited at the open port while nobody was there
    restarts = re.compile(r'cxrd_worker_restarts_total\{role="listen"\} (\d+)')
    until(
        lambda: [int(n) >= len(LISTENERS) for n in restarts.findall(node.get("/metrics"))] == [True],
        seconds=60,
        what="each restart is counted under the role's name",
    )


def test_every_listener_hears_of_a_new_source(node: Node, tmp_path: Path) -> None:
    """Whoever takes the call: each of eighteen is accepted."""
    path = tmp_path / "film.dcm"
    path.write_bytes(samples(salt="x", rows=256)["opacity"])
    assert call(node, "XRAY2").is_rejected
    added = '[[dicom.sources]]\nname = "x2"\nae_title = "XRAY2"\nquiet_period_s = 0.2\n[[destinations]]'
    node.config.write_text(node.config.read_text().replace("[[destinations]]", added))
    os.kill(node.pid, signal.SIGHUP)
    until(lambda: "configuration reloaded" in node.log.read_text(), seconds=60, what="the reload is told")
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port, timeout_s=10)
    for _ in range(18):
        assert [Outcome.STORED] == [r.outcome for r in send(target, "XRAY2", [Outgoing.of(path)])]
