"""The C-STORE SCU: files out, byte for byte, and what each answer means.

A file's data set is sent as it lies on disk (pynetdicom's chunked sending), so a second attempt carries the
same bytes as the first.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.status import code_to_category

from cxrd import tls
from cxrd.errors import ConfigError, DeliveryError, Reason, Refused
from cxrd.peers import Peer

_config.STORE_SEND_CHUNKED_DATASET = True  # read the file as it is sent; the alternative decodes and re-encodes

MAX_CONTEXTS = 128  # PS3.8 9.3.2: context ids are the odd numbers up to 255
DUPLICATE_SOP_INSTANCE = 0x0111
STORED = frozenset({"Success", "Warning"})
"""Categories of status after which a peer has the object: a warning says that it did as asked (PS3.7 C.3, C.4)."""

NO_ECHO = "the peer accepts no C-ECHO"

EventHandler = tuple[evt.EventType, Callable[[evt.Event], Any]]


class Outcome(StrEnum):
    """What a destination's answer means for the object."""

    STORED = "stored"
    RETRY = "retry"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A Part 10 file to send.

    Attributes
    ----------
    attempted : bool
        It was sent before, and may have arrived though no answer came back.
    """

    sop_class: str
    sop_uid: str
    transfer_syntax: str
    path: Path
    attempted: bool = False

    @classmethod
    def of(cls, path: Path) -> Outgoing:
        """Read what the association needs from a file's meta information.

        Raises
        ------
        Refused
            Not a Part 10 file, or one without the UIDs.
        """
        try:
            meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
            sop_class, sop_uid, syntax = (
                str(meta[k].value)
                for k in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
            )
        except (InvalidDicomError, KeyError, ValueError, EOFError) as error:
            raise Refused(
                Reason.UNREADABLE, f"{path.name} is not a DICOM Part 10 file: {type(error).__name__}"
            ) from error
        return cls(sop_class, sop_uid, syntax, path)


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one object.

    Attributes
    ----------
    status : int or None
        DIMSE status, None when there was no answer.
    """

    sop_uid: str
    outcome: Outcome
    status: int | None
    message: str


def classify(status: int, *, attempted: bool) -> Outcome:
    """What a C-STORE status means (PS3.4 table B.2-1, PS3.7 annex C).

    ``0111H`` (duplicate SOP instance) is success when an earlier attempt may have arrived; on a first attempt
    somebody else's object has our UID, and sending again would not help.
    """
    if code_to_category(status) in STORED:
        return Outcome.STORED
    if status == DUPLICATE_SOP_INSTANCE:
        return Outcome.STORED if attempted else Outcome.REJECTED
    if 0xA700 <= status <= 0xA7FF or status in {
        0x0110,
        0x0124,
        0x0213,
        0xFE00,
    }:  # out of resources, processing failure, not authorised, cancelled
        return Outcome.RETRY
    return Outcome.REJECTED


def send(destination: Peer, calling_ae: str, objects: Sequence[Outgoing]) -> Iterator[SendResult]:
    """Send objects over one association, and tell each answer as it comes.

    Parameters
    ----------
    destination : Peer
        The peer.
    calling_ae : str
        Our AE title.
    objects : sequence of Outgoing
        At least one.

    Yields
    ------
    SendResult
        One for each object, in order; a peer that cannot be reached answers RETRY for all.
    """
    wanted = list(dict.fromkeys((o.sop_class, o.transfer_syntax) for o in objects))
    try:
        association, handshake = associate(destination, calling_ae, [build_context(*w) for w in wanted[:MAX_CONTEXTS]])
    except ConfigError as error:  # its TLS files; the objects wait until somebody has repaired them
        yield from (SendResult(item.sop_uid, Outcome.RETRY, None, str(error)) for item in objects)
        return
    accepted = {(c.abstract_syntax, c.transfer_syntax[0]) for c in association.accepted_contexts}
    try:
        for item in objects:
            taken = (UID(item.sop_class), UID(item.transfer_syntax)) in accepted
            yield _send_one(association, handshake, item, context_accepted=taken)
    finally:
        if association.is_established:
            association.release()


def echo(destination: Peer, calling_ae: str) -> bool:
    """Whether the peer answers a C-ECHO."""
    return not echo_fault(destination, calling_ae)


def is_there(peer: Peer, calling_ae: str) -> bool:
    """Whether the peer takes associations: it answers a C-ECHO, or says that it accepts none from us."""
    return echo_fault(peer, calling_ae) in {"", NO_ECHO}


def echo_fault(destination: Peer, calling_ae: str) -> str:
    """Why the peer does not answer a C-ECHO, "" when it does."""
    try:
        association, handshake = associate(destination, calling_ae, [build_context(Verification)])
    except ConfigError as error:
        return str(error)
    if not association.is_established:
        refused = bool(association.rejected_contexts)
        return NO_ECHO if refused else unreachable(association, handshake)[2]
    answer = association.send_c_echo()
    association.release()
    if "Status" not in answer:
        return "the association ended before an answer came"
    return "" if int(answer.Status) == 0x0000 else f"status 0x{int(answer.Status):04X}"


@contextmanager
def opened(
    peer: Peer, calling_ae: str, contexts: list[PresentationContext], handlers: Sequence[EventHandler] = ()
) -> Iterator[Association]:
    """Open an association on which the peer takes every context, and release it.

    Parameters
    ----------
    handlers : sequence of event and callable
        What the peer may ask of us on it.

    Raises
    ------
    DeliveryError
        There is none, or the peer does not offer what we ask for; ``retryable`` when it was not heard at all.
    """
    try:
        association, handshake = associate(peer, calling_ae, contexts, handlers)
    except ConfigError as error:  # its TLS files; everything waits until somebody has repaired them
        raise DeliveryError(str(error), retryable=True) from error
    if refused := association.rejected_contexts:
        if association.is_established:
            association.release()
        raise DeliveryError(
            f"{peer.name} does not offer {UID(str(refused[0].abstract_syntax)).name}",
            retryable=False,
            hint="let its administrator allow it to our AE title",
        )
    if not association.is_established:
        raise DeliveryError(
            f"{peer.name}: {unreachable(association, handshake)[2]}",
            retryable=True,
            hint="is it running, and does it know our AE title?",
        )
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def associate(
    destination: Peer, calling_ae: str, contexts: list[PresentationContext], handlers: Sequence[EventHandler] = ()
) -> tuple[Association, tls.Handshake | None]:
    """Ask for an association, established or not, and how TLS went where it was asked for."""
    handshake = tls.handshake(destination.tls) if destination.tls else None
    entity = AE(calling_ae)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = destination.timeout_s
    entity.connection_timeout = destination.timeout_s

    def on_open(event: evt.Event) -> None:
        """Bound the wait inside a message: pynetdicom's timeouts look only between two of them."""
        connection: Any = event.assoc.dul.socket
        connection.socket.settimeout(destination.timeout_s)

    association = entity.associate(
        destination.host,
        destination.port,
        contexts=contexts,
        ae_title=destination.ae_title,
        max_pdu=0,
        evt_handlers=[(evt.EVT_CONN_OPEN, on_open), *handlers],
        tls_args=(cast("ssl.SSLContext", handshake), destination.host) if handshake else None,
    )
    return association, handshake


def _send_one(
    association: Association, handshake: tls.Handshake | None, item: Outgoing, *, context_accepted: bool
) -> SendResult:
    negotiated = bool(association.accepted_contexts or association.rejected_contexts)
    if negotiated and not context_accepted:  # a peer that accepts no context at all is left at once, but it did answer
        message = f"the destination does not accept {UID(item.sop_class).name} in {UID(item.transfer_syntax).name}"
        return SendResult(item.sop_uid, Outcome.REJECTED, None, message)
    if not association.is_established:
        return SendResult(item.sop_uid, *unreachable(association, handshake))
    try:
        answer = association.send_c_store(item.path)
    except (OSError, RuntimeError) as error:  # the file is gone, or the association ended between two objects
        return SendResult(item.sop_uid, Outcome.RETRY, None, f"not sent: {error}")
    if "Status" not in answer:
        return SendResult(item.sop_uid, Outcome.RETRY, None, "the association ended before an answer came")
    status = int(answer.Status)
    outcome = classify(status, attempted=item.attempted)
    comment = comment_of(answer)
    return SendResult(item.sop_uid, outcome, status, f"status 0x{status:04X}{': ' + comment if comment else ''}")


def comment_of(answer: Dataset) -> str:
    """What a peer says of a fault; a NUL in it would be no text for a database."""
    return str(answer.get("ErrorComment", "") or "").replace("\0", " ").strip()


def unreachable(association: Association, handshake: tls.Handshake | None) -> tuple[Outcome, None, str]:
    """Why there is no association; only a permanent rejection will not change by itself."""
    if handshake is not None and handshake.fault:
        return Outcome.RETRY, None, f"TLS failed, {handshake.fault}"
    if association.is_rejected:
        primitive = association.acceptor.primitive
        permanent = primitive is not None and primitive.result == 1
        why = f"{primitive.result_str}, {primitive.reason_str}" if primitive is not None else "rejected"
        # a wrong AE title is repaired by a person at the PACS, and then the waiting results should flow
        message = f"association rejected ({why})" + ("; is our AE title known there?" if permanent else "")
        return Outcome.RETRY, None, message
    if association.is_aborted:
        doubt = ", or it does not take our certificate" if handshake is not None else ""  # TLS 1.3 tells after the fact
        return Outcome.RETRY, None, f"the destination cannot be reached, or it aborted the association{doubt}"
    return Outcome.RETRY, None, "no association"
