"""Who may see and do what, before any page runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cxrd.errors import ConfigError
from cxrd.serving import Web
from cxrd.settings import Settings, Storage
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.web.access import read_operators
from cxrd.web.server import application
from support.browsing import local, remote
from support.database import fresh
from support.rows import STUDY, arrive

OPEN = Settings(storage=Storage(min_free_mb=0))
REQUEUE = f"/studies/{STUDY}/requeue"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """One kind of database is enough here."""
    with fresh("sqlite", tmp_path) as made:
        yield made


@pytest.fixture
def operators(tmp_path: Path) -> Path:
    """A file with one operator."""
    file = tmp_path / "operators"
    file.write_text("# who may operate\nmeier:correct horse: battery\n")
    file.chmod(0o640)
    return file


@pytest.fixture
def closed(database: Database, payload: PayloadStore, operators: Path) -> TestClient:
    """A browser elsewhere, of a node that asks for a login."""
    arrive(database)
    return remote(application(OPEN.model_copy(update={"web": Web(operators=operators)}), database, payload))


def test_everybody_logs_in_where_there_are_operators(closed: TestClient) -> None:
    """Also on this machine; a wrong password is as good as none."""
    for credentials in (None, ("meier", "wrong"), ("nobody", ""), ("# who may operate", "")):
        refused = closed.get("/", auth=credentials)
        asked = 'Basic realm="cxrd", charset="UTF-8"'  # without it a browser may send an umlaut as another byte
        assert (401, asked) == (refused.status_code, refused.headers["www-authenticate"])
        assert STUDY not in refused.text
    assert 200 == closed.get("/", auth=("meier", "correct horse: battery")).status_code
    assert 401 == local(closed.app).get("/").status_code  # type: ignore[arg-type]


def test_what_an_operator_does_carries_the_name(closed: TestClient) -> None:
    """In the audit trail, which the study's page shows."""
    login = ("meier", "correct horse: battery")
    assert 200 == closed.post(REQUEUE, auth=login).status_code
    assert "<td>meier</td>" in closed.get(f"/studies/{STUDY}", auth=login).text


def test_monitors_need_no_login(closed: TestClient) -> None:
    """By whatever name they call: what they are told names nobody."""
    for path in ("/metrics", "/healthz", "/readyz", "/api/v1/health"):
        assert closed.get(path, headers={"Host": "cxrd.internal"}).status_code in {200, 503}


def test_an_operator_who_is_struck_off_is_out_at_once(closed: TestClient, operators: Path) -> None:
    """And a file that is gone lets nobody in."""
    login = ("meier", "correct horse: battery")
    assert 200 == closed.get("/", auth=login).status_code
    operators.unlink()
    assert 401 == closed.get("/", auth=login).status_code


@pytest.mark.parametrize(
    ("text", "mode", "fault"),
    [("meier:secret\n", 0o644, "chmod"), ("# nobody\nmeier\n", 0o600, "names nobody")],
)
def test_a_careless_file_is_refused(tmp_path: Path, text: str, mode: int, fault: str) -> None:
    """With what to do about it."""
    file = tmp_path / "operators"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=fault):
        read_operators(file)


def test_a_stranger_reads_and_changes_nothing(database: Database, payload: PayloadStore) -> None:
    """Without operators only this machine acts, and a proxy on it is not this machine."""
    arrive(database)
    app = application(OPEN, database, payload)
    stranger, here = remote(app), local(app)
    assert "read only" in stranger.get("/").text
    assert "Work on it again" not in stranger.get(f"/studies/{STUDY}").text
    assert 403 == stranger.post(REQUEUE).status_code
    for header in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP"):
        assert 403 == here.post(REQUEUE, headers={header: "10.9.9.9"}).status_code, header
    assert 200 == here.post(REQUEUE).status_code


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""])
def test_a_name_that_is_not_ours_is_refused(database: Database, payload: PayloadStore, host: str) -> None:
    """A page of another site that points its own name at us reads nothing."""
    arrive(database)
    answer = local(application(OPEN, database, payload)).get("/", headers={"Host": host})
    assert 421 == answer.status_code
    assert STUDY not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1/metrics?", "127.0.0.1/healthz#", "127.0.0.1:80/api/v1/health?x="])
def test_a_host_that_writes_a_path_opens_nothing(closed: TestClient, host: str) -> None:
    """Starlette before 1.0 made ``request.url`` of the Host as it came: the guard saw a path that is open."""
    for address in ("/", f"/studies/{STUDY}", "/api/v1/studies"):
        answer = closed.get(address, headers={"Host": host})
        assert 401 == answer.status_code
        assert STUDY not in answer.text


def test_nothing_is_decided_by_an_address_that_the_caller_wrote(root: Path) -> None:
    """What is routed is ``scope["path"]``; ``request.url`` and ``base_url`` hold the Host."""
    users = [
        f.name for f in (root / "daemon/cxrd/web").glob("*.py") if re.search(r"request\.(base_)?url", f.read_text())
    ]
    assert [] == users


def test_a_site_may_give_the_node_names(database: Database, payload: PayloadStore) -> None:
    """And it always goes by its addresses."""
    settings = OPEN.model_copy(update={"web": Web(hosts=("CXRD.hospital.example",))})
    client = local(application(settings, database, payload))
    for host in ("cxrd.hospital.example:8080", "localhost:8080", "[::1]:8080", "10.1.2.3"):
        assert 200 == client.get("/", headers={"Host": host}).status_code


@pytest.mark.parametrize(
    "told",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9090"},
    ],
)
def test_a_page_of_another_site_cannot_act(database: Database, payload: PayloadStore, told: dict[str, str]) -> None:
    """Whatever its form says; our own page can."""
    arrive(database)
    client = local(application(OPEN, database, payload))
    assert 403 == client.post(REQUEUE, headers=told).status_code
    ours = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}
    assert 303 == client.post(REQUEUE, headers=ours, follow_redirects=False).status_code


def test_every_answer_forbids_what_the_page_does_not_do(closed: TestClient) -> None:
    """No foreign script, no frame, nothing kept by the browser; refusals too."""
    for path in ("/", "/healthz", "/nowhere", "/static/cxrd.css"):
        headers = closed.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert ("nosniff", "no-referrer") == (headers["x-content-type-options"], headers["referrer-policy"])
        assert "no-store" == headers["cache-control"]
