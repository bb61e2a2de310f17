"""From the socket to the bytes of an object: with few calls, few copies, and never more memory than an object may have.

pynetdicom reads a socket 4 KiB at a time and copies what it read eight times over before a handler sees it, and keeps
whatever a peer sends, without end. That part alone is replaced here: a PDU is read into one buffer, its fragments are
views of it, and they are copied once, into the Part 10 file that the object will be, while it is hashed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from time import monotonic
from typing import Any

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

MAX_PDU = 2**20
"""Bytes that a peer is told it may put into one PDU (PS3.8 D.1)."""
HARD_PDU = 16 * MAX_PDU
"""Bytes at which a peer that was told and does not care is cut off."""
MAX_COMMAND = 2**16
"""Bytes of a command set, which has a dozen elements."""
P_DATA_TF = 4

WRITER, WRITER_NAME = UID("2.25.63234776116073608569718050996887366222"), "CXRD"
"""Implementation Class UID and Version Name of the files that we make of objects (PS3.10 7.1). They never change: a
film's hash covers them, and the same film must have the same hash after the next upgrade, of cxrd or of a library.
"""


class Connection(AssociationSocket):
    """A socket that reads a PDU into one buffer, within the time that a peer may be silent."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes; fewer when the peer has closed the connection.

        Raises
        ------
        OSError
            More than a PDU may have, or not here in time however steadily it drips; the association ends.
        """
        connection = self.socket
        if connection is None or nr_bytes > HARD_PDU:
            raise OSError("no connection, or a PDU that is too long")
        data = bytearray(nr_bytes)
        view, read = memoryview(data), 0
        until = monotonic() + (connection.gettimeout() or float("inf"))
        while read < nr_bytes:
            count = connection.recv_into(view[read:])
            if not count:
                return data[:read]
            read += count
            if monotonic() > until and read < nr_bytes:
                raise TimeoutError("a PDU did not come whole in time")
        return data


class Fragments:
    """A P-DATA-TF PDU whose presentation data values are views of what was read (PS3.8 9.3.5)."""

    def __init__(self, pdu: bytearray) -> None:
        self._values: list[tuple[int, memoryview]] = []
        view, at = memoryview(pdu), 6
        while at < len(pdu):
            length = int.from_bytes(view[at : at + 4])
            end = at + 4 + length
            if length < 2 or end > len(pdu):
                raise ValueError("a presentation data value is not as long as it says")
            self._values.append((view[at + 4], view[at + 5 : end]))
            at = end

    def to_primitive(self) -> P_DATA:
        """As of pynetdicom's own PDU."""
        primitive = P_DATA()
        primitive._presentation_data_value_list = self._values  # type: ignore[assignment]  # noqa: SLF001 - its setter wants bytes
        return primitive


class UpperLayer(DULServiceProvider):
    """pynetdicom's upper layer, which does not copy P-DATA."""

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == P_DATA_TF:
            return Fragments(bytestream), "Evt10"
        return super()._decode_pdu(bytestream)


class Incoming(BytesIO):
    """A data set as it comes, after what stands before it in a Part 10 file, and the hash of both (PS3.10 7.1).

    Parameters
    ----------
    most : int
        Bytes that are kept; what comes after is counted and let go, so that the sender can be told.
    head : callable
        What stands before it; asked with its first bytes.
    """

    def __init__(self, most: int, head: Callable[[], bytes]) -> None:
        super().__init__()
        self._most = most
        self._head = head
        self._hash = sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        """Take the next bytes."""
        if not self.size:
            self._keep(self._head())
        self._keep(data)
        return len(data)

    def _keep(self, data: Any) -> None:
        self.size += len(data)
        if self.size <= self._most:
            super().write(data)
            self._hash.update(data)

    @property
    def whole(self) -> bool:
        """Whether all of it was kept."""
        return self.size <= self._most

    @property
    def digest(self) -> str:
        """sha256 (hex) of the file."""
        return self._hash.hexdigest()


class Messages(DIMSEServiceProvider):
    """pynetdicom's messages; the data set of a C-STORE request is that of a Part 10 file.

    Parameters
    ----------
    association : Association
        Whose.
    most : int
        Bytes of the largest object that is kept; no other message may have more either.
    """

    def __init__(self, association: Association, most: int) -> None:
        super().__init__(association)
        self._most = most

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next part of a message."""
        if self.message is None:
            made = DIMSEMessage()
            made.data_set = Incoming(self._most, lambda: self._head(made))
            self.message = made
        if self.message.encoded_command_set.tell() > MAX_COMMAND:
            self.message = None
            self.dul.event_queue.put("Evt19")  # an invalid PDU: the association is aborted
            return
        super().receive_primitive(primitive)

    def _head(self, message: Any) -> bytes:
        """Preamble, prefix and file meta information of an object; nothing for other messages."""
        if not isinstance(message, C_STORE_RQ):
            return b""
        asked: Any = message.command_set
        contexts: Any = self.assoc._accepted_cx  # noqa: SLF001 - there is no other way to it
        try:
            meta = create_file_meta(
                sop_class_uid=asked.AffectedSOPClassUID,
                sop_instance_uid=asked.AffectedSOPInstanceUID,
                transfer_syntax=contexts[message.context_id].transfer_syntax[0],
                implementation_uid=WRITER,
                implementation_version=WRITER_NAME,
            )
            return b"\0" * 128 + b"DICM" + encode_file_meta(meta)
        except (AttributeError, KeyError, ValueError):  # a request without them is refused when it is whole
            return b""


def receive(association: Association, connection: socket.socket, most: int) -> None:
    """Let an association that has not begun read by this module.

    Parameters
    ----------
    association : Association
        An acceptor's.
    connection : socket
        Accepted, and secured where it shall be.
    most : int
        Bytes of the largest object that is kept.
    """
    association.dimse = Messages(association, most)
    association.dul = UpperLayer(association)
    for name in ("acse_timeout", "network_timeout"):  # which live in the upper layer's timers
        setattr(association, name, getattr(association, name))
    association.set_socket(Connection(association, client_socket=connection))
