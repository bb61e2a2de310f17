"""``cxrd init`` and ``cxrd check``: a fault is a red line with its name and what to do about it."""

from __future__ import annotations

import errno
import json
import multiprocessing.synchronize
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from sqlalchemy import text
from typer.testing import CliRunner

from cxrd.cli import app
from cxrd.settings import load
from cxrd.store import jobs
from cxrd.store.database import Database
from support.certificates import Authority, Signed
from support.packages import make_package
from support.rows import arrive, rows

CONFIG = """
[dicom]
bind = "127.0.0.1"
port = 0
[[dicom.sources]]
name = "xray"
ae_title = "XRAY"
hosts = ["10.0.0.0/8", "localhost"]
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs}
timeout_s = 5
[database]
url = "sqlite:///{folder}/cxrd.db"
[storage]
dir = "{folder}/payload"
min_free_mb = 1
[models]
dir = "{folder}/models"
[inference]
provider = "cpu"
[web]
port = 0
"""


class Site:
    """A sound configuration of one node, to plant faults in."""

    def __init__(self, folder: Path, pacs: int, other: AE) -> None:
        self.folder = folder
        self.config = folder / "cxrd.toml"
        self.config.write_text(CONFIG.format(folder=folder, pacs=pacs))
        self.pacs = other
        make_package(folder / "models")
        self.database = Database(load(self.config).database.url)
        self.database.upgrade()
        arrive(self.database)

    def edit(self, old: str, new: str) -> None:
        """Change the configuration."""
        before = self.config.read_text()
        assert old in before
        self.config.write_text(before.replace(old, new))

    def run(self, sql: str) -> None:
        """Change the database."""
        with self.database.write() as connection:
            connection.execute(text(sql))


def check(config: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and lines by name."""
    done = CliRunner().invoke(app, ["check", "--json", "--config", str(config)])
    return done.exit_code, {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A node whose PACS answers a C-ECHO."""
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    assert server.socket is not None
    yield Site(tmp_path, server.socket.getsockname()[1], entity)
    server.shutdown()


def test_a_sound_node_is_green(site: Site) -> None:
    """Every line is ok but those that look at this machine, and the exit code is 0."""
    code, lines = check(site.config)
    assert 0 == code
    assert {"ok"} == {line["state"] for name, line in lines.items() if name not in {"time service", "disk"}}
    assert {"configuration", "database", "clock", "disk", "model tiny 1.0.0", "DICOM port", "web port", "source xray",
            "destination pacs", "queue", "decoders"} <= lines.keys()  # fmt: skip


def port_in_use(site: Site) -> None:
    """Another program listens where the listener should."""
    held = socket.create_server(("127.0.0.1", 0))
    site.edit('bind = "127.0.0.1"\nport = 0', f'bind = "127.0.0.1"\nport = {held.getsockname()[1]}')
    site.held = held  # type: ignore[attr-defined]


def garbage(site: Site) -> None:
    """The database file was overwritten."""
    site.database.dispose()
    for file in site.folder.glob("cxrd.db*"):
        file.write_bytes(b"this is no database" * 100)


def swapped(site: Site) -> None:
    """A model's graph is not the one of its manifest."""
    (site.folder / "models/tiny/1.0.0/model.onnx").write_bytes(b"x")


def blocked(site: Site) -> None:
    """A file stands where the payload folder should be."""
    (site.folder / "payload").write_text("")


def stranger(site: Site) -> None:
    """The PACS does not know our AE title."""
    site.pacs.require_calling_aet = ["SOMEBODY"]


def secured(site: Site, name: str, days: float = 90) -> Signed:
    """DICOM TLS with a new certificate."""
    ca = Authority(site.folder, days=120)
    signed = ca.sign(name, days=days)
    site.edit(
        "[[dicom.sources]]",
        f'[dicom.tls]\nport = 0\nca = "{ca.file}"\ncertificate = "{signed.certificate}"\nkey = "{signed.key}"\n'
        "[[dicom.sources]]",
    )
    return signed


def disordered(site: Site) -> None:
    """Somebody else's CA stands after ours."""
    signed = secured(site, "node")
    other = Authority(site.folder, "other").file
    signed.certificate.write_bytes(signed.certificate.read_bytes() + other.read_bytes())


def tls_port_in_use(site: Site) -> None:
    """Another program listens where the TLS listener should."""
    secured(site, "node")
    held = socket.create_server(("127.0.0.1", 0))
    site.edit("[dicom.tls]\nport = 0", f"[dicom.tls]\nport = {held.getsockname()[1]}")
    site.held = held  # type: ignore[attr-defined]


Plant = Callable[[Site], object]
FAULTS: dict[str, tuple[Plant, str, int, str]] = {
    "a key that is none": (lambda s: s.edit("[web]", "[web]\nprot = 1"), "configuration", 2, "repair"),
    "broken TOML": (lambda s: s.edit("[web]", "[web"), "configuration", 2, "repair"),
    "an old schema": (lambda s: s.run("UPDATE alembic_version SET version_num='0001'"), "database", 1, "db upgrade"),
    "no database server": (
        lambda s: s.edit(f"sqlite:///{s.folder}/cxrd.db", "postgresql+psycopg://u@[::1]:1/x"),
        "database", 1, "running",
    ),
    "a spoilt database": (garbage, "database", 1, "running"),
    "a clock that was set back": (lambda s: s.run("UPDATE audit SET at = at + 3600"), "clock", 1, "chrony"),
    "a full disk": (lambda s: s.edit("min_free_mb = 1", "min_free_mb = 999999999"), "disk", 1, "free space"),
    "no payload folder": (blocked, "disk", 1, "write"),
    "an altered model": (swapped, "model tiny 1.0.0", 1, "again"),
    "no model": (lambda s: s.edit("/models", "/nowhere"), "models", 1, "models.dir"),
    "no GPU": (lambda s: s.edit('"cpu"', '"cuda"'), "model tiny 1.0.0", 1, "driver"),
    "a threshold of nothing": (
        lambda s: s.edit("[models]", "[models]\nthresholds = {tiny = {Fever = 0.5}}"), "thresholds", 1, "its classes",
    ),
    "a port in use": (port_in_use, "DICOM port", 1, "ss -ltnp"),
    "an address of another machine": (
        lambda s: s.edit("[web]", '[web]\nbind = "192.0.2.1"'), "web port", 1, "no such address",
    ),
    "a source without an address": (
        lambda s: s.edit('"localhost"', '"xray.invalid"'), "source xray", 1, "DNS",
    ),
    "a PACS that is down": (
        lambda s: s.edit('"PACS"\nhost = "127.0.0.1"\nport = ', '"PACS"\nhost = "127.0.0.1"\nport = 1 #'),
        "destination pacs", 1, "firewall",
    ),
    "a PACS without an address": (
        lambda s: s.edit('"PACS"\nhost = "127.0.0.1"', '"PACS"\nhost = "pacs.invalid"'), "destination pacs", 1, "DNS",
    ),
    "a PACS that does not know us": (stranger, "destination pacs", 1, "AE title CXRD"),
    "a PACS without TLS": (
        lambda s: s.edit("timeout_s = 5", f'timeout_s = 2\ntls = {{ca = "{Authority(s.folder).file}"}}'),
        "destination pacs", 1, "openssl s_client",
    ),
    "no certificate": (lambda s: secured(s, "key").certificate.unlink(), "certificate listener", 1, "path"),
    "a certificate that ended": (lambda s: secured(s, "old", days=-1), "certificate listener", 1, "renew"),
    "another's key": (
        lambda s: shutil.copy(Authority(s.folder, "b").sign("x").key, secured(s, "k").key),
        "certificate listener", 1, "content",
    ),
    "a chain in the wrong order": (disordered, "certificate listener", 1, "our own first"),
    "a TLS port in use": (tls_port_in_use, "DICOM TLS port", 1, "ss -ltnp"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_the_one_red_line(site: Site, fault: str) -> None:
    """Named, with what to do; nothing else turns red with it."""
    plant, name, expected, todo = FAULTS[fault]
    plant(site)
    code, lines = check(site.config)
    assert (expected, [name]) == (code, [n for n, line in lines.items() if line["state"] == "fail"])
    assert todo in lines[name]["todo"], lines[name]


def test_a_look_leaves_nothing_behind(site: Site) -> None:
    """What root makes when root looks, the user of the service cannot write."""
    assert not (site.folder / "payload").exists()
    before = {path for path in site.folder.rglob("*") if "cxrd.db" not in path.name}
    assert 0 == check(site.config)[0]
    assert before == {path for path in site.folder.rglob("*") if "cxrd.db" not in path.name}


def test_a_library_that_aborts_is_found(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """python-gdcm beside cxrd is a risk, whoever installed it."""
    (tmp_path / "site" / "gdcm").mkdir(parents=True)
    (tmp_path / "site" / "gdcm" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "pip uninstall" in check(site.config)[1]["decoders"]["todo"]


def test_a_machine_that_starts_no_decode_process_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container or chroot without a writable /dev/shm: every film would wait."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    code, lines = check(site.config)
    assert 1 == code
    assert "let the user that runs cxrd write" in lines["decoders"]["todo"]


def test_what_is_open_or_gave_up_warns(site: Site) -> None:
    """It works, so the exit code is 0; the line says what to think about."""
    site.run("UPDATE job SET state = 'dead'")
    site.edit("[web]", '[web]\nbind = "0.0.0.0"')
    code, lines = check(site.config)
    warned = {name for name, line in lines.items() if line["state"] == "warn"}
    assert 0 == code
    assert {"queue", "web access"} <= warned
    assert [(1,)] == rows(site.database, "SELECT count(*) FROM job WHERE state = 'dead'")


def test_a_certificate_that_will_end_warns(site: Site) -> None:
    """With its day, and so does a key that everybody can read."""
    secured(site, "node", days=10).key.chmod(0o644)
    code, lines = check(site.config)
    assert 0 == code
    assert {"certificate listener", "key listener"} <= {n for n, line in lines.items() if line["state"] == "warn"}
    assert "CN=node, until 2" in lines["certificate listener"]["found"]
    assert {"ok"} == {
        lines[n]["state"] for n in ("certificate listener ca", "certificate listener host", "DICOM TLS port")
    }


def test_a_port_of_our_own_node_is_no_fault(site: Site) -> None:
    """Check may be run while cxrd serves."""
    port_in_use(site)
    with site.database.write() as connection:
        jobs.register_worker(connection, site.database.now(connection), "w", role="listen", version="0")
    assert "in use by cxrd" in check(site.config)[1]["DICOM port"]["found"]


def test_init_writes_what_check_accepts(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands from nothing to a node that can start."""
    new = tmp_path / "new"
    new.mkdir()
    monkeypatch.chdir(new)
    for key in ("DICOM__PORT", "WEB__PORT"):  # other nodes of this machine may hold the usual ones
        monkeypatch.setenv(f"CXRD_{key}", "0")
    pacs = load(site.config).destinations[0]
    done = CliRunner().invoke(app, ["init", "--pacs", f"PACS@127.0.0.1:{pacs.port}"])
    assert 0 == done.exit_code, done.output
    written = load(new / "config" / "cxrd.toml")
    assert ("PACS", "pacs", pacs.port) == (
        written.dicom.sources[0].ae_title, written.destinations[0].name, written.destinations[0].port,
    )  # fmt: skip
    assert "# seconds" in (new / "config" / "cxrd.toml").read_text()
    code, lines = check(new / "config" / "cxrd.toml")
    assert 0 == code, lines


def test_init_loses_no_file(tmp_path: Path) -> None:
    """What somebody wrote stays, unless asked."""
    path = tmp_path / "cxrd.toml"
    path.write_text("mine")
    done = CliRunner().invoke(app, ["init", str(path)])
    assert 0 != done.exit_code
    assert "mine" == path.read_text()
    assert 0 == CliRunner().invoke(app, ["init", str(path), "--force"]).exit_code
    assert "[dicom]" in path.read_text()
