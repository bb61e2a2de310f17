"""A real Prometheus scrapes a real node: every panel of the dashboards has data, and a PACS that is down is noticed."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.inference.packages import starter_folder
from cxrd.peers import Destination
from support.certificates import Authority
from support.node import Node, free_port, until
from support.packages import CLASSES, GATE, make_package

pytestmark = pytest.mark.flow
SCORES = "file," + ",".join(f"p_{name}" for name in CLASSES)
INPUTS = "file,brightness,contrast"
PAPERS = {  # ten test films whose scores and brightness are spread evenly
    "evaluation/predictions.csv": "\n".join(
        [SCORES, *(f"{n}{f',{n / 10}' * len(CLASSES)}" for n in range(10))]
    ).encode(),
    "evaluation/inputs.csv": "\n".join([INPUTS, *(f"{n},{n / 10},{n / 20}" for n in range(10))]).encode(),
}


EVERYTHING_ELSE = """
[[archives]]
name = "archive"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs}
[dicom.tls]
port = {tls}
certificate = "{certificate}"
key = "{key}"
ca = "{ca}"
"""


class Prometheus:
    """A running server and what it answers."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its HTTP API; None while it does not answer."""
        try:
            with urlopen(f"{self._address}/api/v1/{path}?{urlencode(query)}", timeout=10) as answer:  # noqa: S310 - a loopback address made here
                return json.load(answer)["data"]
        except (URLError, OSError):
            return None

    def values(self, query: str) -> list[float]:
        """Values of an instant query that are numbers."""
        found = self.ask("query", query=query)["result"]
        return [value for value in (float(sample["value"][1]) for sample in found) if not math.isnan(value)]


@contextmanager
def prometheus(root: Path, folder: Path, web: int) -> Iterator[Prometheus]:
    """Run it with the configuration that is shipped, only faster and on free ports."""
    if shutil.which("prometheus") is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    folder.mkdir()
    shipped = (root / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert "127.0.0.1:8080" in shipped
    config = folder / "prometheus.yml"
    config.write_text(shipped.replace("127.0.0.1:8080", f"127.0.0.1:{web}").replace("_interval: 15s", "_interval: 1s"))
    shutil.copy(root / "deploy/prometheus/alerts.yml", folder)
    port = free_port()
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log)
        try:
            server = Prometheus(f"http://127.0.0.1:{port}")
            until(lambda: server.ask("query", query="1"), seconds=60, what="Prometheus answers")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def queries(root: Path) -> dict[str, str]:
    """Every query of every dashboard as Grafana would send it, by dashboard and panel."""
    found = {}
    for path in sorted((root / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for variable in board["templating"]["list"]:
            if wanted := re.fullmatch(r"label_values\((\w+), \w+\)", variable.get("definition", "")):
                found[f"{path.stem}: ${variable['name']}"] = wanted[1]
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"].replace("$__rate_interval", "1m")
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = re.sub(r"\$\w+", ".*", query)
    return found


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Node, StandInPacs]]:
    """Whatever a panel shows: starters, an ensemble, a version that looks on, TLS, an archive, drift."""
    models = tmp_path / "models"
    models.mkdir()
    for folder in starter_folder().iterdir():
        if folder.is_dir():
            (models / folder.name).symlink_to(folder.resolve())
    make_package(models, id="gated", task="multiclass", gate=GATE, papers=PAPERS)
    make_package(models)
    monkeypatch.setenv("CXRD_DRIFT__EVERY_S", "1")
    monkeypatch.setenv("CXRD_DRIFT__MIN_FILMS", "1")
    (tmp_path / "pacs").mkdir()
    pacs = StandInPacs(tmp_path / "pacs", "PACS")
    pacs.start()
    running = Node(tmp_path, pacs_port=pacs.port, models=models, commit=True)
    pacs.commitments.reports_to = ("127.0.0.1", running.port)
    authority = Authority(tmp_path, days=400)
    ours = authority.sign("node", days=400)
    with running.config.open("a", encoding="utf-8") as config:
        config.write(
            EVERYTHING_ELSE.format(
                pacs=pacs.port, tls=free_port(), certificate=ours.certificate, key=ours.key, ca=authority.file
            )
        )
    for words in (("add", str(make_package(tmp_path / "new", version="1.1.0"))), ("shadow", "tiny@1.1.0")):
        done = running.cli("models", *words)
        assert 0 == done.returncode, done.stderr
    with running:
        yield running, pacs
    pacs.stop()


def test_every_panel_has_data_and_a_pacs_that_is_down_is_noticed(
    node: tuple[Node, StandInPacs], root: Path, tmp_path: Path
) -> None:
    """Films in, results out; then every query answers, every rule is sound, nothing alerts until the PACS is gone."""
    running, pacs = node
    with prometheus(root, tmp_path / "prometheus", running.web) as server:
        until(lambda: server.values("cxrd_received_bytes_total"), seconds=60, what="a scrape before the first film")
        outgoing = []
        for name, data in samples(salt="p", rows=256).items():
            path = tmp_path / f"{name}.dcm"
            path.write_bytes(data)
            outgoing.append(Outgoing.of(path))
        target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=running.port)
        assert {Outcome.STORED} == {result.outcome for result in send(target, "PACS", outgoing)}
        wanted = queries(root)
        assert len(wanted) > 40

        def silent() -> list[str]:
            return [where for where, query in wanted.items() if not server.values(query)]

        delivered = 'cxrd_studies{state="delivered"}'
        until(lambda: server.values(delivered) == [4.0], seconds=120, what="four studies are delivered")
        with suppress(AssertionError):  # the next line names those that have none
            until(lambda: not silent(), seconds=60, what="every panel has data")
        assert [] == silent()
        assert [1.0] == server.values('cxrd_images_refused_total{reason="lateral"}')
        loaded = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        assert [] == [rule["lastError"] for rule in loaded if "lastError" in rule]
        assert [] == [alert["labels"] for alert in server.ask("alerts")["alerts"] if alert["state"] == "firing"]

        pacs.stop()
        noticed = 'ALERTS{alertname="CxrdDestinationDown",destination="pacs"}'
        until(lambda: server.values(noticed), seconds=60, what="the alert is on its way")
