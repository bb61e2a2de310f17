"""The unit starts what exists, may do little, and the instructions name its roles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

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
