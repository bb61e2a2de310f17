"""A whole node in a temporary folder: real processes, real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, Self, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

T = TypeVar("T")

CONFIG = """
[dicom]
ae_title = "CXRD"
bind = "127.0.0.1"
port = {dicom}
listeners = {listeners}
[[dicom.sources]]
name = "pacs"
ae_title = "PACS"
hosts = ["127.0.0.1"]
quiet_period_s = {quiet}
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs}
send = ["sr", "sc"]
timeout_s = 5
commit = {commit}
[database]
url = "{database}"
[storage]
dir = "{folder}/payload"
min_free_mb = 16
[models]
dir = "{models}"
[admission]
content = "{content}"
[inference]
decode_processes = 1
[delivery]
backoff_base_s = 0.2
backoff_cap_s = 1
commit_base_s = 2
commit_cap_s = 5
[work]
max_crashes = {crashes}
lease_s = {lease}
[schedule]
reap_s = 0.5
echo_s = 1
[web]
port = {web}
"""

ARCHIVE = """
[[archives]]
name = "old"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
timeout_s = 10
studies_per_minute = 6000
"""


def free_port() -> int:
    """A port that nobody held a moment ago, below those that the system gives to clients and to other tests."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", SystemRandom().randrange(10_240, 32_768)))
            return int(probe.getsockname()[1])


def until(ask: Callable[[], T], *, seconds: float, what: str) -> T:
    """Ask until the answer is true; fail with a sentence when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Node:
    """``cxrd serve`` as an operator runs it.

    Parameters
    ----------
    folder : Path
        Configuration, payload, log and (unless a URL is given) the database.
    pacs_port : int
        Where results go.
    models : Path
        Packages to load.
    database : str
        SQLAlchemy URL; empty takes SQLite in ``folder``.
    content : {"refuse", "note", "off"}
        ``admission.content``; most tests send drawings that are no film.
    """

    def __init__(  # noqa: PLR0913 - what differs between two tests' nodes
        self,
        folder: Path,
        *,
        pacs_port: int,
        models: Path,
        database: str = "",
        quiet: float = 0.3,
        crashes: int = 50,
        lease_s: float = 60,
        listeners: int = 1,
        commit: bool = False,
        archive_port: int = 0,
        content: str = "off",
    ) -> None:
        self.port, self.web = free_port(), free_port()
        self.config = folder / "cxrd.toml"
        self.log = folder / "cxrd.log"
        self.config.write_text(
            CONFIG.format(
                dicom=self.port,
                web=self.web,
                pacs=pacs_port,
                quiet=quiet,
                crashes=crashes,
                lease=lease_s,
                listeners=listeners,
                commit=str(commit).lower(),
                database=database or f"sqlite:///{folder}/cxrd.db",
                folder=folder,
                models=models,
                content=content,
            )
        )
        if archive_port:
            with self.config.open("a") as config:
                config.write(ARCHIVE.format(port=archive_port))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True, program: Sequence[str] = ("-m", "cxrd")) -> None:
        """Start the supervisor and, unless told otherwise, wait until every role has reported.

        ``program`` is what Python runs instead of cxrd.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *program, "serve", "--config", str(self.config)], stdout=log, stderr=log
            )
        if wait:
            until(self.ready, seconds=90, what=f"readyz is 200\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Drain and end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)

    def kill(self) -> None:
        """End the supervisor as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=10)

    def children(self) -> dict[str, int]:
        """Process id of each role that runs now."""
        found = {}
        for line in self.log.read_text().splitlines():
            if '"started"' in line and line.endswith("}"):  # the last line may be half written
                event = json.loads(line)
                found[event["started"]] = event["pid"]
        return {role: pid for role, pid in found.items() if Path(f"/proc/{pid}").exists()}

    def kill_role(self, role: str) -> None:
        """End one child as a segmentation fault would."""
        with suppress(KeyError, ProcessLookupError):  # it died by itself a moment ago
            os.kill(self.children()[role], signal.SIGKILL)

    def get(self, path: str) -> str:
        """Body of a page."""
        with urlopen(f"http://127.0.0.1:{self.web}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a ``cxrd`` command on this node's configuration."""
        return self.plain(*words, "--config", str(self.config))

    def plain(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a ``cxrd`` command that needs no configuration."""
        command = [sys.executable, "-m", "cxrd", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def studies(self) -> list[dict[str, Any]]:
        """Rows of ``cxrd studies ls --json``."""
        answer = self.cli("studies", "ls", "--json", "--limit", "1000")
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def ready(self) -> bool:
        """Whether every role has reported of late."""
        assert self._process is not None
        assert self._process.poll() is None, f"cxrd serve ended:\n{self.log.read_text()[-3000:]}"
        try:
            return bool(self.get("/readyz"))
        except (URLError, OSError):
            return False
