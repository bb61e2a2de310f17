"""Films uploaded to a whole node: judged beside the queue, and remembered."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from support.node import Node, until
from support.packages import make_package

pytestmark = pytest.mark.flow
FILM = samples("upload", rows=300)["opacity"]


def upload(node: Node, film: bytes) -> dict[str, Any]:
    """What a program gets that knows HTTP and nothing of us."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.dcm"\r\n\r\n'
    asked = Request(
        f"http://127.0.0.1:{node.web}/api/v1/predict",
        data=head + film + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    with urlopen(asked, timeout=90) as answer:  # noqa: S310 - as above
        (result,) = json.load(answer)["results"]
    return dict(result)


def answered(node: Node, film: bytes) -> dict[str, Any]:
    """The same, or nothing while the node says that it is busy."""
    with suppress(HTTPError):
        return upload(node, film)
    return {}


def counted(node: Node, outcome: str) -> float:
    """How often the cache was asked with that outcome."""
    found = re.search(rf'cxrd_cache_requests_total{{outcome="{outcome}"}} (\S+)', node.get("/metrics"))
    return float(found[1]) if found else -1


def test_an_upload_is_judged_beside_the_queue_and_remembered(tmp_path: Path, pacs: StandInPacs) -> None:
    """It leaves no study and no file; nothing of the node dies with the process that judges it."""
    make_package(tmp_path / "models")
    with Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models") as node:
        first = upload(node, FILM)
        assert first["admitted"]
        assert (0, 1) == (counted(node, "hit"), counted(node, "miss"))
        children = node.children()
        for threads in Path(f"/proc/{children['web']}/task").glob("*/children"):
            for pid in map(int, threads.read_text().split()):
                os.kill(pid, signal.SIGKILL)
        again = until(lambda: answered(node, FILM), seconds=60, what="the next process judges")
        assert first == again
        assert (1, 1) == (counted(node, "hit"), counted(node, "miss"))
        assert children == node.children()
        assert [] == node.studies()
        assert [] == [path for path in (tmp_path / "payload").rglob("*") if path.is_file()]
