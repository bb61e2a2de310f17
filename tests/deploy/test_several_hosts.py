"""Several hosts: what deploy/hosts.md and the example of HAProxy say is what the code and HAProxy take."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from cxrd.settings import load
from cxrd.store.database import POSTGRES_CONNECTION, Database


def test_the_database_url_reaches_psycopg_as_it_was_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several hosts, the primary, a verified server, and our own words only where the URL has none."""
    found = re.search(r'url = "(postgresql\+psycopg:.*)"', (root / "deploy" / "hosts.md").read_text(encoding="utf-8"))
    assert found
    config = tmp_path / "cxrd.toml"
    config.write_text(f'[database]\nurl = "{found[1]}&options=-c%20lock_timeout%3D5000&connect_timeout=3"\n')
    url = load(config).database.url
    database = Database(url)
    told: dict[str, object] = {}
    words, options = database.engine.dialect.create_connect_args(make_url(url))

    class Noted(Exception):
        pass

    def connect(*given: object, **named: object) -> None:
        assert tuple(words) == given
        told.update(named)
        raise Noted

    monkeypatch.setattr(database.engine.dialect, "connect", connect)
    with pytest.raises(Noted):
        database.engine.raw_connection()
    assert {
        "host": "db1,db2",
        "port": "5432,5432",
        "user": "cxrd",
        "dbname": "cxrd",
        "target_session_attrs": "read-write",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/cxrd/ca.pem",
        "options": "-c lock_timeout=5000",
        "connect_timeout": "3",
    }.items() <= told.items()
    ours = {name: told[name] for name in POSTGRES_CONNECTION if name not in ("options", "connect_timeout")}
    assert ours.items() <= POSTGRES_CONNECTION.items()
    assert options.items() <= told.items()


def test_a_host_can_be_taken_out_as_the_instructions_say(root: Path) -> None:
    """By the socket and the names of the example."""
    told = (root / "deploy/upgrade.md").read_text(encoding="utf-8")
    config = (root / "deploy/haproxy/haproxy.cfg").read_text(encoding="utf-8")
    command = re.search(r'"set server (\w+)/(\w+) state drain" \| socat - (\S+?)`', told)
    assert command
    proxy, server, place = command.groups()
    assert re.search(rf"^listen {proxy}$", config, re.MULTILINE)
    assert re.search(rf"^ +server {server} ", config, re.MULTILINE)
    assert f"stats socket {place} mode 660 level admin" in config


def test_the_example_of_haproxy_is_a_configuration(root: Path) -> None:
    """HAProxy itself says so."""
    if shutil.which("haproxy") is None:
        pytest.skip("needs HAProxy: apt-get install haproxy")
    config = str(root / "deploy" / "haproxy" / "haproxy.cfg")
    done = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
