"""What goes out, and what each answer means."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from cxrd.delivery.sender import Outcome, Outgoing, classify, comment_of, echo, send
from cxrd.demo.pacs import StandInPacs
from cxrd.errors import Refused
from cxrd.intake.contexts import accepted
from cxrd.peers import Destination
from support.datasets import encoded, film
from support.node import free_port


def target(port: int, title: str = "PACS") -> Destination:
    """A destination on loopback."""
    return Destination(name="pacs", ae_title=title, host="127.0.0.1", port=port, timeout_s=5)


def outgoing(folder: Path, number: int = 0) -> Outgoing:
    """A film as a file."""
    path = folder / f"{number}.dcm"
    path.write_bytes(encoded(film()))
    return Outgoing.of(path)


@pytest.mark.parametrize(
    ("status", "attempted", "expected"),
    [
        (0x0000, False, Outcome.STORED),
        (0xB000, False, Outcome.STORED),
        (0xB006, False, Outcome.STORED),
        (0xB007, False, Outcome.STORED),
        (0xB1AB, False, Outcome.STORED),
        (0x0107, False, Outcome.STORED),
        (0x0116, False, Outcome.STORED),
        (0x0111, True, Outcome.STORED),
        (0x0111, False, Outcome.REJECTED),
        (0xA700, False, Outcome.RETRY),
        (0xA7FF, False, Outcome.RETRY),
        (0x0110, False, Outcome.RETRY),
        (0xFE00, False, Outcome.RETRY),
        (0xA900, False, Outcome.REJECTED),
        (0xC000, False, Outcome.REJECTED),
        (0x0122, False, Outcome.REJECTED),
    ],
)
def test_what_a_status_means(status: int, attempted: bool, expected: Outcome) -> None:  # noqa: FBT001
    """Stored, to be tried again, or a matter for a person."""
    assert expected == classify(status, attempted=attempted)


def test_bytes_arrive_as_they_lie_on_disk(pacs: StandInPacs, tmp_path: Path) -> None:
    """The data set is neither decoded nor encoded anew, so a second sending is identical."""
    item = outgoing(tmp_path)
    for _ in range(2):
        assert [Outcome.STORED] == [r.outcome for r in send(target(pacs.port), "CXRD", [item])]
    data = item.path.read_bytes()
    meta = dcmread(item.path, stop_before_pixels=True).file_meta
    body = data[132 + 12 + meta.FileMetaInformationGroupLength :]
    assert {item.sop_uid: {sha256(body).hexdigest()}} == pacs.digests


def test_several_objects_share_one_association(pacs: StandInPacs, tmp_path: Path) -> None:
    """Answers come in the order of the objects."""
    items = [outgoing(tmp_path, n) for n in range(3)]
    results = list(send(target(pacs.port), "CXRD", items))
    assert [item.sop_uid for item in items] == [r.sop_uid for r in results]
    assert 3 == len(list(pacs.folder.glob("*.dcm")))


def test_nobody_there_means_later(tmp_path: Path) -> None:
    """A PACS that is down is waited for."""
    (result,) = send(target(free_port()), "CXRD", [outgoing(tmp_path)])
    assert Outcome.RETRY == result.outcome
    assert "cannot be reached" in result.message


def test_a_class_the_peer_does_not_take_is_permanent(tmp_path: Path) -> None:
    """No presentation context: named by class and encoding, not tried for ever."""
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    assert server.socket is not None
    try:
        port = server.socket.getsockname()[1]
        assert echo(target(port), "CXRD")
        (result,) = send(target(port), "CXRD", [outgoing(tmp_path)])
        assert Outcome.REJECTED == result.outcome
        assert "Computed Radiography" in result.message
    finally:
        server.shutdown()


def test_a_rejected_association_says_who_should_act(tmp_path: Path) -> None:
    """Our AE title is unknown there: results wait until a person has told the PACS."""
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    entity.require_calling_aet = ["SOMEBODY"]
    server = entity.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    assert server.socket is not None
    try:
        (result,) = send(target(server.socket.getsockname()[1]), "CXRD", [outgoing(tmp_path)])
        assert Outcome.RETRY == result.outcome
        assert "is our AE title known there?" in result.message
    finally:
        server.shutdown()


def test_a_called_title_that_is_not_the_peers_is_waited_for(tmp_path: Path) -> None:
    """Our configuration names the PACS wrongly: nothing is lost until a person has corrected it."""
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    entity.require_called_aet = True
    server = entity.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    assert server.socket is not None
    try:
        (result,) = send(target(server.socket.getsockname()[1], "OTHER"), "CXRD", [outgoing(tmp_path)])
        assert (Outcome.RETRY, None) == (result.outcome, result.status)
        assert "Called AE title not recognised" in result.message
    finally:
        server.shutdown()


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0xB1AB, 0x0116])
def test_a_warning_is_kept_with_the_object_it_came_for(tmp_path: Path, status: int) -> None:
    """The object is there; that the PACS coerced or dropped something can be read afterwards."""
    (tmp_path / "pacs").mkdir()
    peer = StandInPacs(tmp_path / "pacs", "PACS", behave=lambda _uid, _receipt: status)
    peer.start()
    try:
        (result,) = send(target(peer.port), "CXRD", [outgoing(tmp_path)])
        assert (Outcome.STORED, status) == (result.outcome, result.status)
        assert f"0x{status:04X}" in result.message
    finally:
        peer.stop()


def test_a_file_that_is_gone_holds_up_no_other(pacs: StandInPacs, tmp_path: Path) -> None:
    """It is named and comes later; the object behind it is sent."""
    items = [outgoing(tmp_path, n) for n in range(2)]
    items[0].path.unlink()
    results = list(send(target(pacs.port), "CXRD", items))
    assert [Outcome.RETRY, Outcome.STORED] == [r.outcome for r in results]


def test_a_peer_that_hangs_up_leaves_the_rest_for_later(tmp_path: Path) -> None:
    """It aborts in the middle of the first of two objects."""
    entity = AE("PACS")
    entity.supported_contexts = accepted()

    def hang_up(event: evt.Event) -> int:
        event.assoc.abort()
        return 0

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, hang_up)])
    assert server is not None
    assert server.socket is not None
    try:
        items = [outgoing(tmp_path, n) for n in range(2)]
        results = list(send(target(server.socket.getsockname()[1]), "CXRD", items))
        assert [(Outcome.RETRY, None)] * 2 == [(r.outcome, r.status) for r in results]
    finally:
        server.shutdown()


def test_a_peer_without_room_means_later(tmp_path: Path) -> None:
    """0xA700 at the other end, as we would answer it ourselves."""
    (tmp_path / "pacs").mkdir()
    peer = StandInPacs(tmp_path / "pacs", "PACS", behave=lambda _uid, _receipt: 0xA700)
    peer.start()
    try:
        (result,) = send(target(peer.port), "CXRD", [outgoing(tmp_path)])
        assert Outcome.RETRY == result.outcome
        assert 0xA700 == result.status
    finally:
        peer.stop()


def test_echo_tells_up_from_down(pacs: StandInPacs) -> None:
    """The answer behind cxrd_destination_up."""
    assert echo(target(pacs.port), "CXRD")
    assert not echo(target(free_port()), "CXRD")


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    """Before an association is asked for."""
    path = tmp_path / "notes.txt"
    path.write_text("no film")
    with pytest.raises(Refused):
        Outgoing.of(path)


def test_what_a_peer_says_of_a_fault_is_text_for_a_database() -> None:
    """PostgreSQL takes no NUL: the answer would be unstorable, and the object be sent for ever."""
    answer = Dataset()
    answer.ErrorComment = "no room\0in here\0"
    assert "no room in here" == comment_of(answer)
    assert "" == comment_of(Dataset())
