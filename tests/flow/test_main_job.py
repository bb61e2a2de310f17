"""The main job, from outside: films by C-STORE in, SR and SC at the PACS out, whatever dies in between."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pydicom
import pytest

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.imaging.header import read_header
from cxrd.peers import Destination
from support.node import Node, until
from support.packages import make_package

pytestmark = pytest.mark.flow
FINISHED = {"delivered", "refused", "failed"}


@pytest.fixture
def node(tmp_path: Path, pacs: StandInPacs) -> Iterator[Node]:
    """A node with one tiny model."""
    models = tmp_path / "models"
    make_package(models)
    with Node(tmp_path, pacs_port=pacs.port, models=models) as running:
        yield running


def store(node: Node, folder: Path, *films: bytes) -> None:
    """Send films and ask that each is acknowledged."""
    outgoing = []
    for film in films:
        path = folder / f"{uuid4().hex}.dcm"
        path.write_bytes(film)
        outgoing.append(Outgoing.of(path))
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port)
    outcomes = [result.outcome for result in send(target, "PACS", outgoing)]
    assert [Outcome.STORED] * len(films) == outcomes


def finished(node: Node, number: int) -> bool:
    """Whether so many studies have reached an end."""
    rows = node.studies()
    return len(rows) == number and all(row["state"] in FINISHED for row in rows)


def received(pacs: StandInPacs) -> list[pydicom.Dataset]:
    """Every object the PACS holds."""
    return [pydicom.dcmread(path) for path in sorted(pacs.folder.glob("*.dcm"))]


def modalities_by_study(pacs: StandInPacs) -> dict[str, list[str]]:
    """Modality of each object at the PACS, by study."""
    found: dict[str, list[str]] = {}
    for dataset in received(pacs):
        found.setdefault(dataset.StudyInstanceUID, []).append(dataset.Modality)
    return {study: sorted(kinds) for study, kinds in found.items()}


def test_a_film_comes_back_as_a_report_and_a_heatmap_in_its_own_study(
    node: Node, pacs: StandInPacs, tmp_path: Path
) -> None:
    """One film in, one SR and one SC out, same study, with audit rows and metrics; a resend adds nothing."""
    film = samples(salt="a")["opacity"]
    header = read_header(film)
    store(node, tmp_path, film)
    until(lambda: finished(node, 1), seconds=60, what="the study is delivered")
    assert {header.StudyInstanceUID: ["OT", "SR"]} == modalities_by_study(pacs)
    assert {header.PatientID} == {d.PatientID for d in received(pacs)}

    shown = json.loads(node.cli("studies", "show", header.StudyInstanceUID, "--json").stdout)
    assert {"stored", "delivered"} <= {word for row in shown["audit"] for word in row["what"].replace("_", " ").split()}
    metrics = node.get("/metrics")
    assert 'cxrd_studies{state="delivered"} 1.0' in metrics
    assert "cxrd_study_turnaround_seconds_count 1.0" in metrics

    store(node, tmp_path, film)
    until(lambda: node.get("/metrics").count('outcome="duplicate"'), seconds=30, what="the resend is counted")
    assert {header.StudyInstanceUID: ["OT", "SR"]} == modalities_by_study(pacs)
    assert [1, 1] == sorted(pacs.receipts.values())


@pytest.mark.parametrize("victim", ["listen", "infer", "build", "deliver", "tick", "web", "supervisor"])
def test_killing_any_process_loses_and_doubles_nothing(
    node: Node, pacs: StandInPacs, tmp_path: Path, victim: str
) -> None:
    """Kill -9 in the middle of a burst: afterwards every study has exactly one SR and one SC."""
    films = [samples(salt=f"{victim}{number}", rows=256)["opacity"] for number in range(8)]
    store(node, tmp_path, *films[:4])
    until(lambda: any(row["state"] != "received" for row in node.studies()), seconds=60, what="work has begun")
    if victim == "supervisor":
        node.kill()
        until(lambda: not node.children(), seconds=10, what="children die with the supervisor")
        node.start()
    else:
        before = node.children()[victim]
        node.kill_role(victim)
        until(lambda: node.children().get(victim, before) != before, seconds=30, what=f"{victim} runs again")
    until(node.ready, seconds=60, what="the node is ready again")
    store(node, tmp_path, *films[4:])
    until(lambda: finished(node, 8), seconds=120, what="all studies are delivered")
    expected = {read_header(film).StudyInstanceUID: ["OT", "SR"] for film in films}
    assert expected == modalities_by_study(pacs)


def test_storescu_of_dcmtk_is_served(node: Node, pacs: StandInPacs, tmp_path: Path) -> None:
    """A foreign SCU gets its films through."""
    if shutil.which("storescu") is None:
        pytest.skip("needs dcmtk: apt-get install dcmtk")
    path = tmp_path / "film.dcm"
    path.write_bytes(samples(salt="s")["normal"])
    subprocess.run(["storescu", "-aet", "PACS", "-aec", "CXRD", "127.0.0.1", str(node.port), str(path)], check=True)
    until(lambda: finished(node, 1), seconds=60, what="the study is delivered")
    assert [["OT", "SR"]] == list(modalities_by_study(pacs).values())
