"""A version looks on, answers, and goes back, on a node that never stops; the reports tell who answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.peers import Destination
from support.database import database_url
from support.node import Node, until
from support.versions import judged

pytestmark = pytest.mark.flow


@pytest.fixture(params=["sqlite", "postgresql"])
def node(
    request: pytest.FixtureRequest, tmp_path: Path, pacs: StandInPacs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Node]:
    """A node whose only model answers in version 1.0.0."""
    monkeypatch.setenv("CXRD_MODELS__REFRESH_S", "0.2")
    monkeypatch.setenv("CXRD_MODELS__SHADOW_FILMS", "1")
    judged(tmp_path / "models")
    with database_url(request.param, tmp_path) as url:
        made = Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models", database=url)
        if request.param == "postgresql":
            assert 0 == made.cli("db", "upgrade").returncode
        with made:
            yield made


def models(node: Node, *words: str, code: int = 0) -> str:
    """Run a command on models; what it says."""
    done = node.cli("models", *words)
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def loaded(node: Node, version: str, stage: str) -> None:
    """Wait until a worker runs a version in a stage."""

    def there() -> bool:
        lines = (line for line in node.get("/metrics").splitlines() if line.startswith("cxrd_model_info"))
        return any(f'stage="{stage}"' in x and f'version="{version}"' in x and x.endswith(" 1.0") for x in lines)

    until(there, seconds=60, what=f"{version} is {stage}\n{node.log.read_text()[-2000:]}")


def answered_by(node: Node, pacs: StandInPacs, folder: Path, salt: str) -> str:
    """Send a film, and read in its report which version answered."""
    path = folder / f"{salt}.dcm"
    path.write_bytes(samples(salt=salt, rows=256)["opacity"])
    study = str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port)
    assert [Outcome.STORED] == [result.outcome for result in send(target, "PACS", [Outgoing.of(path)])]

    def report() -> str:
        for file in pacs.folder.glob("*.dcm"):
            found = pydicom.dcmread(file)
            if (found.Modality, found.StudyInstanceUID) == ("SR", study):
                return "2.0.0" if "2.0.0" in str(found) else "1.0.0"
        return ""

    return until(report, seconds=90, what=f"the report of {salt}\n{node.log.read_text()[-2000:]}")


def test_from_shadow_to_active_and_back_without_a_restart(node: Node, pacs: StandInPacs, tmp_path: Path) -> None:
    """Reports name the version that answered; what looked on is in metrics and in the comparison, never in a report.

    The worker dies in between, right after the promotion: its successor starts with what was promoted.
    """
    models(node, "add", str(judged(tmp_path / "new", "2.0.0")))
    models(node, "shadow", "tiny@2.0.0")
    loaded(node, "2.0.0", "shadow")
    assert "May tiny@2.0.0 answer?" in models(node, "promote", "tiny@2.0.0", code=1)

    assert "1.0.0" == answered_by(node, pacs, tmp_path, "b")
    agreed = 'cxrd_shadow_compared_total{finding="Effusion",model="tiny",outcome="agree"} 1.0'
    until(lambda: agreed in node.get("/metrics"), seconds=60, what="the version that looks on has judged the film")
    assert 1 == json.loads(models(node, "compare", "tiny", "--json").splitlines()[0])["films"]

    before = node.children()["infer"]
    models(node, "promote", "tiny@2.0.0")
    node.kill_role("infer")
    until(lambda: node.children().get("infer", before) != before, seconds=60, what="another worker")
    loaded(node, "2.0.0", "active")
    assert "2.0.0" == answered_by(node, pacs, tmp_path, "c")

    running = node.children()["infer"]
    models(node, "rollback", "tiny", "--reason", "test")
    loaded(node, "1.0.0", "active")
    assert "1.0.0" == answered_by(node, pacs, tmp_path, "d")
    assert running == node.children()["infer"]
    rows = {row["version"]: row for row in map(json.loads, models(node, "ls", "--json").splitlines())}
    assert {"1.0.0": "active", "2.0.0": "added"} == {version: row["stage"] for version, row in rows.items()}
    assert "CPUExecutionProvider" == rows["1.0.0"]["provider"]
