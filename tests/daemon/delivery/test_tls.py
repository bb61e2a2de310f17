"""DICOM TLS to a destination: whom we believe, what we show, and what we say when it does not work."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cxrd.delivery.sender import Outcome, Outgoing, echo_fault, send
from cxrd.peers import Destination, DestinationTls
from support.certificates import Authority, Signed
from support.datasets import encoded, film
from support.node import free_port, until

pytestmark = pytest.mark.skipif(shutil.which("storescp") is None, reason="needs dcmtk: apt-get install dcmtk")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def us(ca: Authority) -> Signed:
    """Our certificate."""
    return ca.sign("us")


Archive = Callable[..., int]


@pytest.fixture
def archive(tmp_path: Path, ca: Authority) -> Iterator[Archive]:
    """Starts dcmtk's storescp with TLS; its port."""
    running: list[subprocess.Popen[bytes]] = []

    def start(shows: Signed, *words: str) -> int:
        port = free_port()
        files = ["+tls", str(shows.key), str(shows.certificate), "+cf", str(ca.file)]
        command = ["storescp", *files, *words, "-aet", "PACS", "-od", str(tmp_path), str(port)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        probe = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
        answers = lambda: b"CONNECTED" in subprocess.run(probe, input=b"", capture_output=True, check=False).stdout  # noqa: E731
        until(answers, seconds=20, what="storescp answers")
        return port

    yield start
    for process in running:
        process.kill()
        process.wait()


def target(port: int, **files: object) -> Destination:
    """The archive as a destination."""
    secured = DestinationTls.model_validate(files)
    return Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, timeout_s=10, tls=secured)


@pytest.mark.parametrize("profile", ["bcp195", "bcp195-nd"])
def test_dcmtk_takes_results_over_tls(
    archive: Archive, ca: Authority, us: Signed, tmp_path: Path, profile: str
) -> None:
    """Both ends show a certificate and check the other's."""
    path = tmp_path / "result"
    path.write_bytes(encoded(film()))
    pacs = target(archive(ca.sign("pacs")), ca=ca.file, certificate=us.certificate, key=us.key, profile=profile)
    assert "" == echo_fault(pacs, "CXRD")
    assert [Outcome.STORED] == [answer.outcome for answer in send(pacs, "CXRD", [Outgoing.of(path)])]


def test_an_archive_that_cannot_be_believed_gets_nothing(archive: Archive, ca: Authority, tmp_path: Path) -> None:
    """Another host's certificate, one that has ended, one of another CA; the reason is said, the result waits."""
    path = tmp_path / "result"
    path.write_bytes(encoded(film()))
    stranger = Authority(tmp_path, "stranger")
    cases = (
        (ca.sign("elsewhere", host="pacs.invalid"), "bad_certificate"),
        (ca.sign("old", days=-1), "expired"),
        (stranger.sign("x"), "unknown_ca"),
    )
    for shows, reason in cases:
        pacs = target(archive(shows, "-ic"), ca=ca.file)
        (answer,) = send(pacs, "CXRD", [Outgoing.of(path)])
        assert (Outcome.RETRY, None) == (answer.outcome, answer.status)
        assert f"TLS failed, {reason}" in answer.message
        assert f"TLS failed, {reason}" in echo_fault(pacs, "CXRD")


def test_the_host_may_be_left_unchecked(archive: Archive, ca: Authority) -> None:
    """For a certificate that names no host of ours."""
    pacs = target(archive(ca.sign("elsewhere", host="pacs.invalid"), "-ic"), ca=ca.file, check_host=False)
    assert "" == echo_fault(pacs, "CXRD")


def test_an_archive_that_wants_a_certificate_is_told_of(archive: Archive, ca: Authority) -> None:
    """With TLS 1.3 it says so only after the handshake."""
    fault = echo_fault(target(archive(ca.sign("pacs")), ca=ca.file), "CXRD")
    assert "does not take our certificate" in fault or "TLS failed" in fault


def test_an_archive_without_tls_is_told_of(tmp_path: Path, ca: Authority) -> None:
    """Its port is the plain one."""
    port = free_port()
    with subprocess.Popen(["storescp", "-od", str(tmp_path), str(port)]) as plain:
        try:
            plainly = Destination(name="pacs", ae_title="ANY", host="127.0.0.1", port=port, timeout_s=10)
            until(lambda: not echo_fault(plainly, "CXRD"), seconds=20, what="storescp answers")
            assert "TLS failed" in echo_fault(target(port, ca=ca.file).model_copy(update={"timeout_s": 3}), "CXRD")
        finally:
            plain.kill()


def test_files_that_cannot_be_used_keep_the_results(tmp_path: Path) -> None:
    """They wait, and the message names the file."""
    path = tmp_path / "result"
    path.write_bytes(encoded(film()))
    pacs = target(104, ca=tmp_path / "nowhere.pem")
    (answer,) = send(pacs, "CXRD", [Outgoing.of(path)])
    assert Outcome.RETRY is answer.outcome
    assert "nowhere.pem cannot be read" in answer.message
    assert "nowhere.pem cannot be read" in echo_fault(pacs, "CXRD")
