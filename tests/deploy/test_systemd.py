"""The unit starts what exists, may do little, and the instructions name its roles."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cxrd.service.connecting import port
from cxrd.service.supervisor import DRAIN_S
from cxrd.settings import ROLES

UNIT = "deploy/systemd/cxrd.service"


def analyse(*words: str) -> str:
    """What systemd itself says of a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_systemd_understands_every_line(root: Path, tmp_path: Path) -> None:
    """A misspelt directive is ignored at run time, so it is looked for here."""
    unit = tmp_path / "cxrd.service"
    unit.write_text((root / UNIT).read_text().replace("/opt/cxrd/bin/cxrd", "/bin/true"))
    said = [line for line in analyse("verify", "--man=no", str(unit)).splitlines() if "cxrd.service" in line]
    assert [] == said


def test_the_drop_in_of_the_instructions_is_understood(root: Path, tmp_path: Path) -> None:
    """Another folder, and port 104."""
    told = re.search(r"```ini\n(.*?)```", (root / "deploy/install.md").read_text(encoding="utf-8"), re.DOTALL)
    assert told
    (tmp_path / "cxrd.service.d").mkdir()
    (tmp_path / "cxrd.service.d/override.conf").write_text(told[1])
    unit = tmp_path / "cxrd.service"
    unit.write_text((root / UNIT).read_text().replace("/opt/cxrd/bin/cxrd", "/bin/true"))
    said = analyse("verify", "--man=no", str(unit))
    assert [] == [line for line in said.splitlines() if "cxrd.service" in line or "override.conf" in line]
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in told[1]


def test_a_port_that_the_unit_may_not_open_has_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cxrd check` sends to where the drop-in stands; the unit itself grants nothing."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert "drop-in of deploy/install.md" in port("DICOM port", "127.0.0.1", 104, ours=False).todo


def test_a_command_sees_what_the_service_sees(root: Path, tmp_path: Path) -> None:
    """Its user and its environment, with every character that a password may have; without a file it runs as well."""
    (tmp_path / "runuser").write_text('#!/bin/sh\necho "$@"; pwd; printenv CXRD_DATABASE__URL || echo none\n')
    (tmp_path / "runuser").chmod(0o755)
    command = tmp_path / "cxrd"
    file = tmp_path / "environment"
    text = (root / "deploy/systemd/cxrd").read_text()
    command.write_text(text.replace("/etc/cxrd/environment", str(file)).replace("/var/lib/cxrd", "/var"))

    def said() -> list[str]:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(
            ["sh", str(command), "studies", "ls"], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    called = "-u cxrd -- /opt/cxrd/bin/cxrd studies ls"
    assert [called, "/var", "none"] == said()
    url = 'postgresql+psycopg://cxrd:a$b`c"d@db1/cxrd?sslmode=verify-full&connect_timeout=3'
    file.write_text(f"# secrets\nROLES=listen,web\nCXRD_DATABASE__URL='{url}'\n")
    assert [called, "/var", url] == said()


def test_the_unit_may_do_little(root: Path) -> None:
    """By the score of exposure that systemd gives, 10 for everything and 0 for nothing."""
    said = analyse("security", "--offline=yes", "--no-pager", str(root / UNIT))
    score = re.search(r"Overall exposure level[^\n]*?(\d+\.\d)", said)
    assert score, said
    assert float(score[1]) < 2.0


def test_a_drain_has_the_time_that_it_takes(root: Path) -> None:
    """The unit waits longer than the supervisor does."""
    found = re.search(r"TimeoutStopSec=(\d+)s", (root / UNIT).read_text())
    assert found
    assert int(found[1]) > DRAIN_S


def test_roles_that_are_named_exist(root: Path) -> None:
    """In the unit every role, in the instructions none that is unknown, and none forgotten."""
    named = re.search(r"Environment=ROLES=(\S+)", (root / UNIT).read_text())
    assert named
    assert set(ROLES) == set(named[1].split(","))
    told = re.findall(r"ROLES=([a-z,]+)", (root / "deploy/hosts.md").read_text(encoding="utf-8"))
    assert set(ROLES) == {role for roles in told for role in roles.split(",")}
