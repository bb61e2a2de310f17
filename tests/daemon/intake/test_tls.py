"""DICOM TLS at the door: who gets in, who does not and why, and that nobody holds up the others."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cxrd.errors import ConfigError
from cxrd.intake.server import WAITING
from cxrd.peers import Dicom, ListenerTls, Source
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.certificates import Authority, Signed
from support.database import fresh
from support.datasets import encoded, film
from support.door import SOURCES, Door
from support.node import until
from support.rows import rows

pytestmark = pytest.mark.skipif(shutil.which("storescu") is None, reason="needs dcmtk: apt-get install dcmtk")
OPENSSL = shutil.which("openssl") or "openssl"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """SQLite: what happens before an association is the same on every database."""
    with fresh("sqlite", tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def node(ca: Authority) -> Signed:
    """Our certificate."""
    return ca.sign("node")


@pytest.fixture(scope="module")
def modality(ca: Authority) -> Signed:
    """That of a modality."""
    return ca.sign("modality")


@pytest.fixture
def opened(database: Database, payload: PayloadStore, ca: Authority, node: Signed) -> Iterator[Callable[..., Door]]:
    """Opens a door with TLS, its settings as told."""
    made: list[Door] = []

    def open_(*, sources: tuple[Source, ...] = (), **changes: object) -> Door:
        files = {"certificate": node.certificate, "key": node.key, "ca": ca.file}
        tls = ListenerTls.model_validate(files | {"port": 0} | changes)
        made.append(Door(database, payload, tls=tls, sources=sources or SOURCES))
        return made[-1]

    yield open_
    for door in made:
        door.listener.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A film on a modality."""
    made = tmp_path / "film.dcm"
    made.write_bytes(encoded(film()))
    return made


def storescu(door: Door, path: Path, ca: Path, shows: Signed | None, *words: str, title: str = "PACS") -> int:
    """Send a film with dcmtk over TLS; its exit code."""
    who = ["+tls", str(shows.key), str(shows.certificate)] if shows else ["+tla"]
    command = ["storescu", *who, "+cf", str(ca), *words, "-aet", title, "-aec", "CXRD", "127.0.0.1"]
    port = str(door.listener.ports[-1])
    return subprocess.run([*command, port, str(path)], capture_output=True, check=False, timeout=60).returncode


def openssl(door: Door, *words: str) -> str:
    """What `openssl s_client` says of the door."""
    command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{door.listener.ports[-1]}", *words]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=30)
    return (done.stdout + done.stderr).decode(errors="replace")


def stored(database: Database) -> int:
    """Films that are here."""
    ((count,),) = rows(database, "SELECT count(*) FROM instance")
    return int(str(count))


@pytest.mark.parametrize("ours", ["bcp195", "bcp195-nd"])
def test_dcmtk_sends_over_tls(
    opened: Callable[..., Door], ca: Authority, modality: Signed, path: Path, ours: str
) -> None:
    """In each of its BCP 195 profiles, to each of ours; the plain port serves beside it."""
    door = opened(profile=ours)
    assert [0, 0, 0] == [storescu(door, path, ca.file, modality, profile) for profile in ("+py", "+px", "+pz")]
    assert ["stored", "duplicate", "duplicate"] == [outcome for _, outcome, _ in door.noted.instances]
    assert 0 == door.store(film())


def test_the_plain_port_can_be_left_shut(opened: Callable[..., Door]) -> None:
    """TLS only."""
    assert 1 == len(opened(only=True).listener.ports)


def test_old_protocols_and_weak_suites_are_refused(
    opened: Callable[..., Door], ca: Authority, modality: Signed
) -> None:
    """Nothing below TLS 1.2, and nothing without forward secrecy and authenticated encryption there."""
    door = opened()
    shows = ["-cert", str(modality.certificate), "-key", str(modality.key), "-CAfile", str(ca.file)]
    weak = ["-cipher", "ALL:@SECLEVEL=0"]
    assert "TLSv1.3" in openssl(door, *shows)
    assert "ECDHE-RSA-AES256-GCM-SHA384" in openssl(door, *shows, "-tls1_2")
    for old in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in openssl(door, *shows, *weak, old)
    for suite in ("AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384"):
        assert "Cipher is (NONE)" in openssl(door, *shows, "-tls1_2", "-cipher", suite)
    until(lambda: len(door.noted.handshakes) == 4, seconds=10, what="every refusal is counted")
    assert {"protocol", "cipher"} == set(door.noted.handshakes)


def test_only_a_valid_certificate_opens_the_door(
    opened: Callable[..., Door], database: Database, ca: Authority, path: Path, tmp_path: Path
) -> None:
    """None, one of another CA, one that has ended: each is refused and counted by its reason."""
    door = opened()
    stranger = Authority(tmp_path, "stranger")
    for shows, reason in (
        (None, "no_certificate"),
        (stranger.sign("x"), "unknown_ca"),
        (ca.sign("old", days=-1), "expired"),
    ):
        assert 0 != storescu(door, path, ca.file, shows)
        until(lambda reason=reason: door.noted.handshakes[-1:] == [reason], seconds=10, what=reason)  # type: ignore[misc]
    assert 0 == stored(database)


def test_a_caller_that_does_not_believe_us_is_counted(
    opened: Callable[..., Door], modality: Signed, path: Path, tmp_path: Path
) -> None:
    """Its administrator has the wrong CA."""
    door = opened()
    assert 0 != storescu(door, path, Authority(tmp_path, "stranger").file, modality)
    until(lambda: door.noted.handshakes == ["refused_by_peer"], seconds=10, what="the refusal is counted")


def test_certificates_may_be_left_to_the_caller(
    opened: Callable[..., Door], database: Database, ca: Authority, path: Path, tmp_path: Path
) -> None:
    """`optional`: nobody must show one, but a bad one is refused."""
    door = opened(client_certificate="optional")
    assert 0 == storescu(door, path, ca.file, None)
    assert 0 != storescu(door, path, ca.file, Authority(tmp_path, "stranger").sign("x"))
    assert 1 == stored(database)


@pytest.mark.parametrize("by", ["fingerprint", "common name", "address"])
def test_a_source_is_bound_to_its_certificate(
    opened: Callable[..., Door], database: Database, ca: Authority, modality: Signed, path: Path, by: str
) -> None:
    """Another valid certificate, or the plain port, does not do for its AE title."""
    shown = {"fingerprint": modality.sha256, "common name": "modality", "address": "10.9.8.7"}[by]
    if by == "address":
        modality = ca.sign("by-address", host="10.9.8.7")
    door = opened(sources=(Source(name="pacs", ae_title="PACS", certificates=(shown,), quiet_period_s=0),))
    assert 0 != storescu(door, path, ca.file, ca.sign("another"))
    assert door.associate().is_rejected
    assert 0 == stored(database)
    assert 0 == storescu(door, path, ca.file, modality)
    assert ["rejected_certificate", "rejected_certificate", "accepted"] == [o for _, o in door.noted.associations]


def test_a_name_is_no_fingerprint(
    opened: Callable[..., Door], database: Database, ca: Authority, modality: Signed, path: Path
) -> None:
    """Whoever gets a name of its choice signed must not pass for the certificate that a site pinned."""
    source = Source(name="pacs", ae_title="PACS", certificates=(modality.sha256,), quiet_period_s=0)
    impostor = ca.sign("impostor", host=source.certificates[0])
    assert 0 != storescu(opened(sources=(source,)), path, ca.file, impostor)
    assert 0 == stored(database)


def test_a_certificate_in_the_sources_needs_tls() -> None:
    """Otherwise nobody could ever show it."""
    bound = Source(name="pacs", ae_title="PACS", certificates=("modality",))
    with pytest.raises(ValueError, match=r"add \[dicom.tls\]"):
        Dicom(sources=(bound,))


def test_nobody_is_held_up_by_those_who_say_nothing(
    opened: Callable[..., Door], database: Database, ca: Authority, modality: Signed, path: Path
) -> None:
    """More silent connections than are kept, on both ports: a modality is served at once, and the oldest are closed."""
    door = opened()
    silent = [socket.create_connection(("127.0.0.1", port)) for port in door.listener.ports for _ in range(WAITING + 8)]
    try:
        assert 0 == door.store(film())
        assert 0 == storescu(door, path, ca.file, modality)
        assert 2 == stored(database)
        for first in (silent[0], silent[WAITING + 8]):
            first.settimeout(10)
            assert b"" == first.recv(1)
    finally:
        for connection in silent:
            connection.close()


def test_somebody_who_speaks_no_tls_is_counted(opened: Callable[..., Door]) -> None:
    """A modality whose administrator forgot to turn it on, or a browser."""
    door = opened()
    with socket.create_connection(("127.0.0.1", door.listener.ports[-1])) as plain:
        plain.sendall(bytes.fromhex("0100000000ce0001") + b"CXRD".ljust(300))
        until(lambda: door.noted.handshakes == ["not_tls"], seconds=10, what="it is counted")


def test_a_renewed_certificate_is_shown_without_a_restart(
    opened: Callable[..., Door], ca: Authority, tmp_path: Path
) -> None:
    """To the next connection; a broken file is refused and the old one is shown."""
    first, second = ca.sign("first"), ca.sign("second")
    files = tmp_path / "now.pem", tmp_path / "now.key"

    def put(signed: Signed) -> None:
        shutil.copy(signed.certificate, files[0])
        shutil.copy(signed.key, files[1])

    put(first)
    door = opened(certificate=files[0], key=files[1])
    shows = ["-CAfile", str(ca.file)]
    assert "subject=CN = first" in openssl(door, *shows)
    files[0].write_text("not a certificate")
    assert "subject=CN = first" in openssl(door, *shows)
    with pytest.raises(ConfigError, match="not a certificate in PEM form"):
        door.listener.follow(door.settings)
    shutil.copy(second.certificate, files[0])  # its key is not there yet
    assert "subject=CN = first" in openssl(door, *shows)
    put(second)
    assert "subject=CN = second" in openssl(door, *shows)


def test_a_key_may_have_a_password(opened: Callable[..., Door], ca: Authority, tmp_path: Path) -> None:
    """From a file; without the right one the listener does not start, and nobody is asked at a terminal."""
    locked = ca.sign("locked", password="open sesame")  # noqa: S106 - a test's
    word = tmp_path / "password"
    told = {"certificate": locked.certificate, "key": locked.key}
    word.write_text("open sesame\n")
    assert "subject=CN = locked" in openssl(opened(**told, key_password_file=word), "-CAfile", str(ca.file))
    word.write_text("wrong\n")
    for wrong in (word, None):
        with pytest.raises(ConfigError, match="password is wrong"):
            opened(**told, key_password_file=wrong)
