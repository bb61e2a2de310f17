"""Orthanc, a real PACS, in a temporary folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from cxrd.delivery.sender import echo
from cxrd.peers import Destination
from support.node import free_port, until


@dataclass(frozen=True)
class Orthanc:
    """A running one, AE title ``PACS``; it knows us as ``CXRD``."""

    port: int
    http: int

    def rest(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Ask its REST API."""
        data = None if body is None else json.dumps(body).encode()
        asked = Request(f"http://127.0.0.1:{self.http}{path}", data=data, method=method)
        with urlopen(asked, timeout=30) as answer:  # noqa: S310 - our own
            return json.loads(answer.read() or b"null")

    def uids(self) -> set[str]:
        """SOP Instance UIDs that it holds."""
        return {self.rest(f"/instances/{name}")["MainDicomTags"]["SOPInstanceUID"] for name in self.rest("/instances")}

    def lose(self) -> None:
        """Delete every study."""
        for study in self.rest("/studies"):
            self.rest(f"/studies/{study}", "DELETE")


@contextmanager
def orthanc(folder: Path, *, ours: int = 11112, **settings: object) -> Iterator[Orthanc]:
    """Run one.

    Parameters
    ----------
    ours : int
        Port of our listener, where it calls.
    **settings
        Keys of its configuration.
    """
    if shutil.which("Orthanc") is None:
        pytest.skip("needs Orthanc: apt-get install orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    made = Orthanc(free_port(), free_port())
    known = {"CXRD": ["CXRD", "127.0.0.1", ours]}
    config = {
        "DicomAet": "PACS",
        "DicomPort": made.port,
        "HttpPort": made.http,
        "DicomModalities": known,
        "Plugins": [],
    }
    config |= {"AuthenticationEnabled": False, "StorageDirectory": str(folder / "db")} | settings
    file = folder / "orthanc.json"
    file.write_text(json.dumps(config))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log)
        try:
            us = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=made.port, timeout_s=5)
            until(lambda: echo(us, "CXRD"), seconds=30, what="Orthanc answers")
            yield made
        finally:
            process.terminate()
            process.wait(timeout=20)
