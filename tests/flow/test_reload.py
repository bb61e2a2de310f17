"""SIGHUP: sources, destinations, archives and thresholds change under a running node, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.peers import Destination
from support.fetching import old_film
from support.node import ARCHIVE, Node, until
from support.packages import make_package

pytestmark = pytest.mark.flow
OTHER_SOURCE = """
[[dicom.sources]]
name = "x2"
ae_title = "XRAY2"
quiet_period_s = 0.2
[[destinations]]"""
SECOND = """
[[destinations]]
name = "second"
ae_title = "SECOND"
host = "127.0.0.1"
port = {port}
"""
HARDLY_EVER = """
[models.thresholds.tiny]
Pneumonia = 0.999
"""


@pytest.fixture
def node(tmp_path: Path, pacs: StandInPacs) -> Iterator[Node]:
    """A node with one tiny model."""
    make_package(tmp_path / "models")
    with Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models") as running:
        yield running


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """What the audit trail says of the configuration."""
    with sqlite3.connect(folder / "cxrd.db") as connection:
        rows = connection.execute("SELECT what, detail FROM audit WHERE subject = 'config' ORDER BY id").fetchall()
    return [(what, json.loads(detail)) for what, detail in rows]


def reload(node: Node, folder: Path, *edits: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    """Edit the file, ask the node to read it, and return what the audit trail says then."""
    before = len(told(folder))
    text = node.config.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    node.config.write_text(text)
    os.kill(node.pid, signal.SIGHUP)
    until(lambda: len(told(folder)) > before, seconds=60, what="the reload is in the audit trail")
    return told(folder)[-1]


def accepted(node: Node, folder: Path, calling: str, salt: str) -> bool:
    """Whether a film of this caller is taken."""
    path = folder / f"{salt}.dcm"
    path.write_bytes(samples(salt=salt, rows=256)["opacity"])
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port, timeout_s=10)
    return [Outcome.STORED] == [result.outcome for result in send(target, calling, [Outgoing.of(path)])]


def test_sources_destinations_and_thresholds_change_without_a_restart(
    node: Node, pacs: StandInPacs, tmp_path: Path
) -> None:
    """The same processes go on; the next caller, study and delivery follow the new file; the audit has its digest."""
    children = node.children()
    assert not accepted(node, tmp_path, "XRAY2", "a")
    assert "config_loaded" == told(tmp_path)[0][0]

    (tmp_path / "second").mkdir()
    second = StandInPacs(tmp_path / "second", "SECOND")
    second.start()
    try:
        what, detail = reload(
            node,
            tmp_path,
            ("[[destinations]]", OTHER_SOURCE),
            ("[database]", f"{SECOND.format(port=second.port)}{HARDLY_EVER}[database]"),
        )
        assert ("config_reloaded", ["destinations", "dicom.sources", "models.thresholds"]) == (what, detail["changed"])
        assert detail["before"] == told(tmp_path)[0][1]["digest"] != detail["digest"]
        assert accepted(node, tmp_path, "XRAY2", "b")
        until(lambda: len(list(second.folder.glob("*.dcm"))) == 2, seconds=60, what="both objects at the new PACS")
    finally:
        second.stop()
    assert children == node.children()
    metrics = node.get("/metrics")
    assert 'cxrd_associations_total{outcome="accepted",source="x2"} 1.0' in metrics
    assert 'cxrd_deliveries_total{destination="second",outcome="stored"} 2.0' in metrics
    assert f'config="{detail["digest"][:12]}"' in metrics
    (row,) = node.studies()
    shown = json.loads(node.cli("studies", "show", row["uid"], "--json").stdout)
    assert 0.999 == next(f["threshold"] for f in shown["findings"] if f["finding"] == "Pneumonia")


def test_the_first_archive_brings_the_role_that_asks_it(node: Node, pacs: StandInPacs, tmp_path: Path) -> None:
    """The other processes go on; a second reload reaches the new one too."""
    children = node.children()
    first, second = (old_film(pacs.folder, day=day, rows=220, columns=210) for day in ("20200102", "20200202"))
    pacs.query.knows["CXRD"] = ("127.0.0.1", node.port)
    archive = ARCHIVE.format(port=pacs.port)
    assert "config_reloaded" == reload(node, tmp_path, ("[database]", f"{archive}[database]"))[0]
    until(lambda: "fetch" in node.children() and node.ready(), seconds=60, what="somebody fetches")
    assert 0 == node.cli("backfill", "start", "old", "--from", "20200101", "--to", "20200131").returncode
    until(lambda: came(node, first), seconds=60, what="the old film has come")
    until(lambda: not waiting(node), seconds=60, what="the backfill has ended")
    with_fetch = node.children()
    assert children.items() <= with_fetch.items()

    what, detail = reload(node, tmp_path, ('name = "old"', 'name = "older"'))
    assert ("config_reloaded", ["archives"]) == (what, detail["changed"])
    assert 0 == node.cli("backfill", "start", "older", "--from", "20200201", "--to", "20200228").returncode
    until(lambda: came(node, second), seconds=60, what="the second film has come")
    assert with_fetch == node.children()


def came(node: Node, film: Dataset) -> bool:
    """Whether a film's study is here."""
    return str(film.StudyInstanceUID) in {row["uid"] for row in node.studies()}


def waiting(node: Node) -> list[str]:
    """Archives whose backfill has not ended."""
    lines = map(json.loads, node.cli("backfill", "ls", "--json").stdout.splitlines())
    return [row["archive"] for row in lines if row["state"] == "running"]


BAD = (
    ("quiet_period_s = 0.3", "quiet_period_s = -1", "quiet_period_s"),
    ("[database]", "[models.thresholds.tiny]\nNothing = 0.5\n[database]", "no such class"),
    ("[database]", "[database", "not valid TOML"),
    ("echo_s = 1", "echo_s = 2", "schedule.echo_s cannot change"),
)


def test_a_bad_file_changes_nothing(node: Node, tmp_path: Path) -> None:
    """Not even its good half: the new source in it is not served; the reason is in the audit and a metric."""
    good = node.config.read_text()
    before = re.search(r'config="(\w+)"', node.get("/metrics"))
    for old, new, why in BAD:
        node.config.write_text(good)
        what, detail = reload(node, tmp_path, ("[[destinations]]", OTHER_SOURCE), (old, new))
        assert "config_refused" == what
        assert why in detail["error"]
        assert told(tmp_path)[0][1]["digest"] == detail["digest"]
    assert not accepted(node, tmp_path, "XRAY2", "a")
    assert accepted(node, tmp_path, "PACS", "b")
    until(
        lambda: "cxrd_config_last_reload_successful 0.0" in node.get("/metrics"), seconds=15, what="the metric says so"
    )
    after = re.search(r'config="(\w+)"', node.get("/metrics"))
    assert before is not None
    assert after is not None
    assert before[1] == after[1]


ASKED_EARLY = """
import os, signal
from cxrd.cli import main, node

load, signals = node.load, [signal.SIGHUP]

def asked(*given):
    while signals:
        os.kill(os.getpid(), signals.pop())
    return load(*given)

node.load = asked
main()
"""


def test_a_node_that_is_still_starting_reads_the_file_when_it_can(tmp_path: Path, pacs: StandInPacs) -> None:
    """The signal of an impatient operator came before anybody listened for it, and ended the node."""
    make_package(tmp_path / "models")
    node = Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models")
    try:
        node.start(program=("-c", ASKED_EARLY))
        until(lambda: "config_reloaded" in dict(told(tmp_path)), seconds=30, what="the reload is in the audit trail")
    finally:
        node.stop()
