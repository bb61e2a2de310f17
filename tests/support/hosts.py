"""Several hosts on one machine: network namespaces on one bridge, a PostgreSQL of their own, HAProxy before them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from support.node import free_port

DICOM_PORT = 11112

CONFIG = """
[dicom]
ae_title = "CXRD"
quiet_period_s = 0.2
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "{gateway}"
port = {pacs}
timeout_s = 5
[database]
url = "{database}"
[storage]
dir = "{payload}"
min_free_mb = 16
[models]
dir = "{models}"
[admission]
content = "off"
[inference]
decode_processes = 0
threads = 1
[delivery]
backoff_base_s = 0.2
backoff_cap_s = 1
[work]
max_crashes = 50
lease_s = {lease}
[schedule]
reap_s = 0.5
echo_s = 5
"""

HAPROXY = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 3
listen dicom
    bind 127.0.0.1:{port}
    balance roundrobin
    default-server check inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
{servers}
"""


def need_tools() -> None:
    """Skip where hosts cannot be made, and say what is missing."""
    missing = [tool for tool in ("ip", "haproxy", "runuser") if shutil.which(tool) is None]
    if missing or not postgres_bin().is_dir() or os.geteuid() != 0:
        pytest.skip("needs root and: apt-get install iproute2 haproxy postgresql")


def postgres_bin() -> Path:
    """Folder of the newest PostgreSQL server's programs; one that does not exist when there is none."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nonexistent"))


def run(*words: str) -> None:
    """Run a command that must work."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


class Network:
    """A bridge of the test's own, and namespaces on it as hosts."""

    def __init__(self) -> None:
        self._name = f"cx{uuid4().hex[:6]}"
        luck = random.SystemRandom()
        self._subnet = f"10.{luck.randrange(100, 250)}.{luck.randrange(1, 250)}"
        self.gateway = f"{self._subnet}.1"
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        run("ip", "link", "add", self._name, "type", "bridge")
        self._undo.callback(run, "ip", "link", "del", self._name)
        run("ip", "address", "add", f"{self.gateway}/24", "dev", self._name)
        run("ip", "link", "set", self._name, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def host(self, number: int) -> tuple[list[str], str]:
        """Make a host; the words before a command that runs there, and its address."""
        space, cable = self._name + str(number), self.cable(number)
        address = f"{self._subnet}.{number + 1}"
        run("ip", "netns", "add", space)
        self._undo.callback(run, "ip", "netns", "del", space)  # takes the cable with it
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "link", "set", cable, "master", self._name, "up")
        inside = ["ip", "netns", "exec", space]
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        return inside, address

    def cable(self, number: int) -> str:
        """Name of the bridge's end of a host's cable."""
        return f"{self._name}v{number}"

    def cut(self, number: int) -> None:
        """Pull a host's cable; nothing is refused, nothing answers."""
        run("ip", "link", "set", self.cable(number), "down")

    def heal(self, number: int) -> None:
        """Put the cable back."""
        run("ip", "link", "set", self.cable(number), "up")


class Postgres:
    """A PostgreSQL server of the test's own, which it may restart."""

    def __init__(self, gateway: str) -> None:
        self.port = free_port()
        self._gateway = gateway
        self._folder = Path(tempfile.mkdtemp(prefix="cxrd-postgres-"))
        shutil.chown(self._folder, "postgres")

    def __enter__(self) -> Self:
        self._as_postgres("initdb", "-U", "postgres", "-A", "trust", "--no-sync")
        with (self._folder / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")
        with (self._folder / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses='{self._gateway}'\nport={self.port}\n")
            settings.write(f"unix_socket_directories='{self._folder}'\n")
        self._as_postgres("pg_ctl", "-w", "-l", f"{self._folder}/log", "start")
        return self

    def __exit__(self, *_: object) -> None:
        self._as_postgres("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self) -> str:
        """A URL of two hosts, the first of which never answers."""
        nobody, here = f"{self._gateway}:{free_port()}", f"{self._gateway}:{self.port}"
        return f"postgresql+psycopg://postgres@/postgres?host={nobody}&host={here}&target_session_attrs=read-write"

    def restart(self) -> None:
        """Break every connection, as a crash of the server does, and start it again."""
        self._as_postgres("pg_ctl", "-w", "-m", "immediate", "-l", f"{self._folder}/log", "restart")

    def _as_postgres(self, program: str, *words: str) -> None:
        run("runuser", "-u", "postgres", "--", str(postgres_bin() / program), "-D", str(self._folder), *words)


class Host:
    """`cxrd serve --roles …` in a namespace."""

    def __init__(self, inside: list[str], address: str, config: Path, roles: str, log: Path) -> None:
        self.address = address
        self.log = log
        words = [*inside, sys.executable, "-m", "cxrd", "serve", "--config", str(config), "--roles", roles]
        with log.open("ab") as out:
            self._process = subprocess.Popen(words, stdout=out, stderr=out)

    def ends(self) -> int:
        """How often a role of this host has ended."""
        return self.log.read_text().count("role ended")

    def stop(self) -> None:
        """End it, kindly and then not."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=20)


@contextmanager
def haproxy(folder: Path, addresses: list[str]) -> Iterator[int]:
    """The loopback port of HAProxy before the listeners of several hosts."""
    port = free_port()
    config = folder / "haproxy.cfg"
    servers = "\n".join(f"    server host{n} {address}:{DICOM_PORT}" for n, address in enumerate(addresses))
    config.write_text(HAPROXY.format(port=port, servers=servers))
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(["haproxy", "-f", str(config), "-db"], stdout=quiet, stderr=quiet)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
