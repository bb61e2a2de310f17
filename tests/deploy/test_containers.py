"""Image and compose: linted, every path there, and Orthanc forwards to cxrd and gets its results back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from cxrd.demo.samples import samples
from cxrd.settings import load
from support.node import free_port, until
from support.packages import make_package

COMPOSE = "deploy/compose"


def services(root: Path) -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = yaml.safe_load((root / COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return dict(found["services"])


def test_the_linter_finds_nothing_in_the_image(root: Path) -> None:
    """Each rule that is not followed stands in .hadolint.yaml with its reason."""
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), "--config", str(root / ".hadolint.yaml"), str(root / "deploy/Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_the_image_is_made_of_what_a_build_needs(root: Path) -> None:
    """What COPY names is let through by .dockerignore, and nothing else is."""
    copied = set()
    for line in (root / "deploy/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    let_through = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_through == copied
    assert all((root / name).exists() for name in copied)


def test_a_container_is_started_anew_for_what_that_helps(root: Path) -> None:
    """Readiness asks the database and every role of every host: nothing of it is mended by a restart of this one."""
    told = re.search(r"HEALTHCHECK.*?\n(?=[A-Z])", (root / "deploy/Dockerfile").read_text(), re.DOTALL)
    assert told
    assert "/healthz" in told[0]
    assert "/readyz" not in told[0]


def test_somebody_takes_in_orphans(root: Path) -> None:
    """The decode processes of a role that was killed would stay as zombies, until no process can be started."""
    text = (root / "deploy/Dockerfile").read_text()
    assert re.search(r"apt-get install .*\btini\b", re.sub(r"\\\n\s*", "", text))
    assert ['["tini", "--", "cxrd"]'] * 2 == re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)


def test_nobody_is_root_in_the_image(root: Path) -> None:
    """Every stage that is run begins with the user that is not root."""
    text = (root / "deploy/Dockerfile").read_text()
    assert {"trainer", "daemon"} == set(re.findall(r"^FROM runtime AS (\w+)$", text, re.MULTILINE))
    runtime = text.split("AS runtime")[1].split("\nFROM")[0]
    assert "USER 10001" in runtime


def test_every_file_that_compose_mounts_is_there(root: Path) -> None:
    """Docker would make an empty folder of a missing one."""
    for name, service in services(root).items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (root / COMPOSE / source).exists(), f"{name}: {source}"


def test_the_ports_of_compose_are_those_of_the_configurations(root: Path) -> None:
    """Orthanc, cxrd and the map of ports say the same."""
    orthanc = json.loads((root / COMPOSE / "orthanc.json").read_text())
    settings = load(root / COMPOSE / "cxrd.toml")
    published = {int(port.split(":")[-1]) for port in services(root)["cxrd"]["ports"]}
    assert {orthanc["DicomPort"], orthanc["HttpPort"], settings.web.port} <= published
    assert ["CXRD", "127.0.0.1", settings.dicom.port] == orthanc["DicomModalities"]["cxrd"]
    assert [(orthanc["DicomAet"], orthanc["DicomPort"])] == [(d.ae_title, d.port) for d in settings.destinations]


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """A program for the time of a test."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment}, cwd=log.parent)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def answer(url: str) -> Any:
    """JSON of a page; nothing while it is not there."""
    try:
        with urlopen(url, timeout=5) as page:  # noqa: S310 - an address of this machine
            return json.loads(page.read() or "null")
    except (URLError, OSError):
        return None


@pytest.mark.flow
def test_a_film_sent_to_orthanc_comes_back_as_report_and_picture(root: Path, tmp_path: Path) -> None:
    """The files of compose with other ports and folders, a real Orthanc, a real node."""
    if shutil.which("Orthanc") is None or shutil.which("storescu") is None:
        pytest.skip("needs Orthanc and dcmtk: apt-get install orthanc dcmtk")
    packages = tmp_path / "packages"
    make_package(packages)
    dicom, http, cxrd, web = (free_port() for _ in range(4))
    orthanc = json.loads((root / COMPOSE / "orthanc.json").read_text())
    orthanc |= {"DicomPort": dicom, "HttpPort": http, "StorageDirectory": str(tmp_path / "orthanc"), "Plugins": []}
    orthanc["DicomModalities"]["cxrd"][2] = cxrd
    orthanc["LuaScripts"] = [str(root / COMPOSE / "forward.lua")]
    (tmp_path / "orthanc.json").write_text(json.dumps(orthanc))
    toml = (root / COMPOSE / "cxrd.toml").read_text()
    toml = toml.replace("/var/lib/cxrd", str(tmp_path)).replace("4242", str(dicom)).replace("11112", str(cxrd))
    toml = toml.replace("quiet_period_s = 5", "quiet_period_s = 0.3")
    assert tomllib.loads(toml)
    (tmp_path / "cxrd.toml").write_text(toml)
    node = [sys.executable, "-m", "cxrd", "serve", "--config", str(tmp_path / "cxrd.toml")]
    site = f"http://127.0.0.1:{http}"
    with (
        running(["Orthanc", str(tmp_path / "orthanc.json")], tmp_path / "orthanc.log"),
        running(node, tmp_path / "cxrd.log", CXRD_WEB__PORT=str(web), CXRD_MODELS__DIR=str(packages)),
    ):
        until(lambda: answer(f"{site}/system"), seconds=60, what="Orthanc answers")
        health = f"http://127.0.0.1:{web}/api/v1/health"
        until(lambda: (answer(health) or {}).get("ready"), seconds=90, what="every role of cxrd works")
        film = tmp_path / "film.dcm"
        film.write_bytes(samples("compose", rows=512)["opacity"])
        subprocess.run(["storescu", "-aec", "ORTHANC", "127.0.0.1", str(dicom), str(film)], check=True)
        until(lambda: {"DX", "SR", "OT"} == set(modalities(site)), seconds=60, what="film, report and picture")
        assert 1 == len(answer(f"{site}/studies"))


def modalities(site: str) -> list[str]:
    """Modality of each series that Orthanc holds."""
    return [str(one["MainDicomTags"].get("Modality")) for one in answer(f"{site}/series?expand") or []]
