"""Peers that speak no DICOM, or too much of it: they are let go within bounded memory, and a modality is served."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from cxrd.intake.listener import OUT_OF_RESOURCES, SUCCESS
from cxrd.intake.receiving import HARD_PDU, MAX_COMMAND
from cxrd.peers import Source
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.database import fresh
from support.datasets import CR, film
from support.door import Door
from support.node import until
from support.rows import rows

MIB = 2**20


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """SQLite: nothing of these peers gets so far."""
    with fresh("sqlite", tmp_path) as made:
        yield made


@pytest.fixture
def door(database: Database, payload: PayloadStore) -> Iterator[Door]:
    """A listener that takes objects of a MiB and gives up after two seconds of silence."""
    made = Door(database, payload, timeout_s=2, max_object_mb=1)
    yield made
    made.listener.stop()


def connection(door: Door) -> socket.socket:
    """A bare connection."""
    made = socket.create_connection(("127.0.0.1", door.port))
    made.settimeout(30)
    return made


def ended(peer: socket.socket) -> bool:
    """Whether the listener has closed a connection, after an abort or without one."""
    try:
        while peer.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


def raw(association: Association) -> socket.socket:
    """The socket under an association."""
    assert association.dul.socket is not None
    found = association.dul.socket.socket
    assert found is not None
    return found


def pdv(context: int, control: int, data: bytes) -> bytes:
    """A P-DATA-TF PDU with one value (PS3.8 9.3.5)."""
    value = struct.pack(">LBB", len(data) + 2, context, control) + data
    return struct.pack(">BBL", 4, 0, len(value)) + value


def command(uid: str = "1.2.3.4") -> bytes:
    """A C-STORE request's command set."""
    asked = Dataset()
    asked.AffectedSOPClassUID, asked.CommandField, asked.MessageID = CR, 0x0001, 1
    asked.Priority, asked.CommandDataSetType, asked.AffectedSOPInstanceUID = 0, 1, uid
    encoded = encode(asked, True, True)
    assert encoded is not None
    group = Dataset()
    group.CommandGroupLength = len(encoded)
    head = encode(group, True, True)
    assert head is not None
    return head + encoded


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 4096,
        b"\x01\x00" + struct.pack(">L", 200) + b"\xff" * 200,
        b"\x04\x00" + struct.pack(">L", 12) + b"\xff" * 12,
        b"\x01\x00" + struct.pack(">L", HARD_PDU + 1),
        b"\x04\x00\xff\xff\xff\xff" + b"x" * 65536,
    ],
    ids=["a browser", "zeros", "a broken request", "data before an association", "a long PDU", "the longest PDU"],
)
def test_garbage_is_let_go_at_once(door: Door, words: bytes) -> None:
    """Nothing of it is kept, and the next caller is served."""
    with connection(door) as peer:
        peer.sendall(words)
        assert ended(peer)
    assert SUCCESS == door.store(film())


def test_a_peer_that_drips_is_let_go(door: Door) -> None:
    """A byte now and then is not silence, and yet no PDU."""
    with connection(door) as peer:
        peer.sendall(b"\x01\x00" + struct.pack(">L", 10_000))

        def dripped() -> bool:
            try:
                peer.sendall(b"x")
            except ConnectionError:
                return True
            return False

        until(dripped, seconds=30, what="it is let go")
    assert SUCCESS == door.store(film())


def test_an_object_without_an_end_takes_no_memory(door: Door, database: Database) -> None:
    """What is over the limit is counted and let go; the sender is told, and may go on."""
    association = door.associate()
    context = association.accepted_contexts[0].context_id
    assert context is not None
    peer = raw(association)
    peer.sendall(pdv(context, 3, command()))
    for _ in range(24):
        peer.sendall(pdv(context, 0, b"x" * MIB))
    (incoming,) = [a.dimse.message.data_set for a in _accepted(door) if a.dimse.message is not None]
    assert incoming is not None
    assert len(incoming.getvalue()) <= MIB
    peer.sendall(pdv(context, 2, b"x"))
    until(lambda: door.noted.instances == [("pacs", "out_of_resources", 0)], seconds=30, what="it is answered")
    assert [] == rows(database, "SELECT sop_uid FROM instance")
    association.abort()


def _accepted(door: Door) -> list[Association]:
    """Associations that the listener holds."""
    return list(door.listener._ae.active_associations)


def test_a_command_without_an_end_is_cut_off(door: Door) -> None:
    """A command set has a dozen elements."""
    association = door.associate()
    context = association.accepted_contexts[0].context_id
    assert context is not None
    peer = raw(association)
    with pytest.raises(OSError, match=r".*"):
        for _ in range(1000):
            peer.sendall(pdv(context, 1, b"x" * MAX_COMMAND))
    until(lambda: not association.is_alive() or association.is_aborted, seconds=30, what="the association ends")
    assert SUCCESS == door.store(film())


def test_a_request_may_share_a_pdu_with_its_object(door: Door) -> None:
    """Command and data set, each in any number of pieces, in one PDU or in many (PS3.8 annex E)."""
    dataset = film()
    body = encode(dataset, False, True)
    assert body is not None
    association = door.associate()
    context = association.accepted_contexts[0].context_id
    assert context is not None
    asked = command(dataset.SOPInstanceUID)
    parts = [(1, asked[:50]), (3, asked[50:]), (0, body[:1000]), (0, b""), (2, body[1000:])]
    values = b"".join(pdv(context, control, data)[6:] for control, data in parts)
    raw(association).sendall(struct.pack(">BBL", 4, 0, len(values)) + values)
    until(lambda: bool(door.noted.instances), seconds=30, what="it is answered")
    assert [("pacs", "stored")] == [(source, outcome) for source, outcome, _ in door.noted.instances]
    association.abort()


def test_a_source_may_send_a_class_that_no_list_knows(database: Database, payload: PayloadStore) -> None:
    """A vendor's private one, where the site says so; another caller's is not accepted."""
    private = "1.3.6.1.4.1.99999.7"
    ward = Source(
        name="ward", ae_title="WARD", quiet_period_s=0, sop_classes=(private, "ComputedRadiographyImageStorage")
    )
    door = Door(database, payload, sources=(ward, Source(name="pacs", ae_title="PACS", quiet_period_s=0)))
    try:
        association = door.associate("WARD", sop_class=private)
        assert SUCCESS == int(association.send_c_store(film(SOPClassUID=private)).Status)
        association.release()
        assert [(private,)] == rows(database, "SELECT sop_class FROM instance")
        refused = door.associate("PACS", sop_class=private)
        assert [] == list(refused.accepted_contexts)
        refused.release()
    finally:
        door.listener.stop()


def test_a_source_has_limits_of_its_own(database: Database, payload: PayloadStore) -> None:
    """Associations, size, SOP classes and transfer syntaxes; the other source keeps those of the node."""
    limited = Source(
        name="ward",
        ae_title="WARD",
        max_associations=1,
        max_object_mb=1,
        sop_classes=("ComputedRadiographyImageStorage",),
        transfer_syntaxes=("ImplicitVRLittleEndian",),
    )
    door = Door(database, payload, sources=(limited, Source(name="pacs", ae_title="PACS", quiet_period_s=0)))
    try:
        entity = AE("WARD")
        entity.add_requested_context(CR)
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.1.1")
        first = entity.associate("127.0.0.1", door.port, ae_title="CXRD")
        assert [(CR, "1.2.840.10008.1.2")] == [
            (str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in first.accepted_contexts
        ]
        second = entity.associate("127.0.0.1", door.port, ae_title="CXRD")
        assert second.is_rejected
        assert ("ward", "rejected_limit") in door.noted.associations
        assert SUCCESS == door.store(film())
        large = film(rows=1024, columns=1024)
        large.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        assert OUT_OF_RESOURCES == int(first.send_c_store(large).Status)
        first.release()
        until(
            lambda: entity.associate("127.0.0.1", door.port, ae_title="CXRD").is_established,
            seconds=20,
            what="its place is free again",
        )
    finally:
        door.listener.stop()
