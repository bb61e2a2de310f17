"""The first five minutes on a hospital's machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cxrd.demo import show


class Ready(BaseHTTPRequestHandler):
    """Answers that all is well."""

    def do_GET(self) -> None:  # the name is the library's
        """Say so."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a node on this machine, whose user goes out by a proxy; there is none at that port."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_demo_asks_no_proxy_for_this_machine(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would wait for a node that has long been ready."""
    monkeypatch.setattr(show, "START_S", 5.0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        show._await_ready(process, f"{address}readyz", tmp_path / "log")
        process.kill()


def test_the_health_check_of_the_image_asks_no_proxy_either(root: Path, address: str) -> None:
    """Docker hands its own proxy settings to every container."""
    told = re.search(r"CMD (\[\"python\".*\])", (root / "deploy/Dockerfile").read_text(encoding="utf-8"))
    assert told
    _, *words = json.loads(told[1].replace("8080", address.rpartition(":")[2].strip("/")))
    assert 0 == subprocess.run([sys.executable, *words], check=False, timeout=30).returncode
    _, *nobody = json.loads(told[1].replace("8080", "9"))
    assert 0 != subprocess.run([sys.executable, *nobody], check=False, timeout=30, capture_output=True).returncode
