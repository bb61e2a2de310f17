"""The C-STORE SCP: an object is durable before it is acknowledged (PS3.4 annex B, engine rule 1).

The data set is written as it came, without decoding. Only its header is parsed, for the UIDs that the rows
need. Status codes and what they mean to a sender:

====== =====================================================================================================
0x0000 durable: bytes fsynced, rows committed; the sender may forget the object
0xA700 out of resources (disk, database, size): nothing is kept, the sender must keep it and try again
0xB007 durable, but kept aside: the header cannot be read or contradicts the request, or the SOP Instance
       UID is here with other bytes, of an image that was not refused. A warning counts as stored, so nothing
       is lost, and the sender's log says that a person should look
0xC000 the listener failed in a way it does not know; nothing is acknowledged
====== =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from socket import socket
from time import monotonic, sleep
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from pydicom import Dataset, uid
from pynetdicom import AE, evt
from pynetdicom.association import Association

from cxrd import tls
from cxrd.crashpoints import reach
from cxrd.errors import Reason, Refused, StoreError
from cxrd.imaging.header import read_elements
from cxrd.intake import contexts
from cxrd.intake.doors import open_doors
from cxrd.intake.places import ROOM as MOST
from cxrd.intake.places import Places
from cxrd.intake.receiving import MAX_PDU, Incoming
from cxrd.intake.reception import Observer, Reception, Reports
from cxrd.intake.server import Server
from cxrd.peers import Dicom, Source
from cxrd.store import arrivals, carriers
from cxrd.store.arrivals import UID_LENGTH, Arrival, Received
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.watch.logs import logger

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
KEPT_ASIDE = 0xB007
CANNOT_UNDERSTAND = 0xC000

RADIOGRAPHS = frozenset({uid.ComputedRadiographyImageStorage, uid.DigitalXRayImageStorageForPresentation})
"""SOP classes that are complete as one image: what a source's fast path is for."""

HEADER_TAGS = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber",
    "PatientID", "StudyDate", "RequestedProcedurePriority",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One C-STORE: what the command says and the bytes that came with it.

    Attributes
    ----------
    data : bytes
        A Part 10 file, its data set as it came.
    association : str
        Name of the association that brought it; "" without one.
    digest : str
        sha256 (hex) of ``data`` where it is known; "" where it is still to be made.
    """

    source: Source
    calling_ae: str
    sop_class: str
    sop_uid: str
    transfer_syntax: str
    data: bytes
    association: str = ""
    digest: str = ""


class Listener:
    """A running listener.

    Parameters
    ----------
    settings : Dicom
        Who we are and who may speak.
    database, payload
        Where objects become durable.
    min_free_bytes : int
        Below it, on the volume of either, the answer is 0xA700.
    observer : Observer
        For metrics.
    places : Places or None
        Shared with other listeners of the node; None when there are none.
    doors : sequence of socket
        They listen already, and other processes may accept from them too; empty opens them here.
    reports : Reports or None
        Hears what destinations have committed; None where none is asked.
    """

    def __init__(  # noqa: PLR0913 - what a door needs
        self,
        settings: Dicom,
        database: Database,
        payload: Payloads,
        *,
        min_free_bytes: int,
        observer: Observer,
        places: Places | None = None,
        doors: Sequence[socket] = (),
        reports: Reports | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._payload = payload
        self._min_free = min_free_bytes
        self._observer = observer
        self._log: Any = logger()
        self._ae = AE(settings.ae_title)
        self._ae.supported_contexts = [contexts.verification()]  # a caller gets the others once it is known
        self._ae.maximum_associations = (
            2 * MOST
        )  # it counts connections that say nothing; reception counts associations
        self._ae.maximum_pdu_size = MAX_PDU
        self._ae.network_timeout = settings.timeout_s
        self._ae.acse_timeout = settings.timeout_s
        self._ae.dimse_timeout = settings.timeout_s
        self._servers: list[Server] = []
        self._doors = doors
        self._reports = reports
        self._reception = Reception(lambda: self._settings, observer, places or Places(), reports)
        self._credentials = tls.Credentials(settings.tls) if settings.tls else None
        # of associations that brought something; one that ends without a word takes its name along
        self._names: WeakKeyDictionary[Association, str] = WeakKeyDictionary()

    def start(self) -> int:
        """Listen in threads of this process.

        Returns
        -------
        int
            The TCP port in use, the plain one if it is open.

        Raises
        ------
        StoreError
            An address cannot be bound.
        """
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        if self._reports is not None:
            handlers.append((evt.EVT_N_EVENT_REPORT, self._reports))
        told = self._settings
        secured: list[tls.Credentials | None] = [] if told.tls and told.tls.only else [None]
        secured += [self._credentials] if told.tls else []
        for door, credentials in zip(self._doors or open_doors(told), secured, strict=True):
            server = Server(
                self._ae,
                door,
                handlers,
                most=self._most,
                credentials=credentials,
                failed=self._on_failed_handshake,
            )
            self._servers.append(server)
        for server in self._servers:
            server.start()
        self._log.info("listening", ae_title=told.ae_title, ports=self.ports, tls=told.tls is not None)
        return self.ports[0]

    @property
    def ports(self) -> list[int]:
        """TCP ports in use: plain, then TLS."""
        return [server.port for server in self._servers]

    def follow(self, settings: Dicom) -> None:
        """Ask other sources from the next association and object on, and show the certificate of now.

        Open associations are not cut.

        Raises
        ------
        ConfigError
            The certificate files cannot be used; nothing has changed.
        """
        if self._credentials is not None:
            self._credentials.reload()
        self._settings = settings
        self._observer.sources([source.name for source in settings.sources])

    def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop listening; open associations may end by themselves for ``drain_s`` seconds.

        One that is cut then leaves its unacknowledged object with the sender.
        """
        for server in self._servers:
            server.stop()
        deadline = monotonic() + drain_s
        while self._ae.active_associations and monotonic() < deadline:
            sleep(0.05)
        self._ae.shutdown()

    def _most(self) -> int:
        """Bytes of the largest object that any source may send."""
        return max(self._settings.max_object_mb, *(s.max_object_mb for s in self._settings.sources), 0) * 2**20

    def _on_open(self, event: evt.Event) -> None:
        """Bound the wait for the rest of a message: pynetdicom's timeouts look only between two of them."""
        connection: Any = event.assoc.dul.socket
        connection.socket.settimeout(self._settings.timeout_s)

    def _on_failed_handshake(self, fault: tls.Fault, peer: str) -> None:
        self._log.warning("TLS handshake failed", why=str(fault), peer=peer)
        self._observer.handshake(fault)

    def _on_requested(self, event: evt.Event) -> None:
        self._no_longer_waiting(event)
        self._reception.requested(event)

    def _no_longer_waiting(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        for server in self._servers:
            server.waiting.done((requestor.address, requestor.port))

    def _on_store(self, event: evt.Event) -> int:
        """Answer one C-STORE; every error becomes a status that keeps the object safe somewhere."""
        command: Any = event.request
        calling = str(event.assoc.requestor.ae_title).strip()
        source = self._reception.source_of(event.assoc)
        name = source.name if source else "unknown"
        try:
            came: Incoming = command.DataSet
            self._refuse_oversize(came.size, source)
            request = Request(
                _still_known(source),
                calling,
                str(command.AffectedSOPClassUID),
                str(command.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                came.getvalue(),
                self._names.setdefault(event.assoc, uuid4().hex),
                came.digest,
            )
            outcome, status = self.store(request)
        except StoreError as error:
            self._log.error("object not taken", error=str(error), status="0xA700")
            self._observer.instance(name, "out_of_resources", 0)
            return OUT_OF_RESOURCES
        except Exception:  # noqa: BLE001 - the listener's last door: an unknown fault must never acknowledge
            self._log.exception("object not taken", status="0xC000")
            self._observer.instance(name, "error", 0)
            return CANNOT_UNDERSTAND
        self._observer.instance(name, outcome, len(request.data) if outcome != Received.DUPLICATE else 0)
        return status

    def _on_close(self, event: evt.Event) -> None:
        """Let the study go that this association carried; without the store it goes by itself, later."""
        self._no_longer_waiting(event)
        self._reception.closed(event.assoc)
        name = self._names.pop(event.assoc, None)
        if name is None:
            return
        try:
            with self._database.write() as connection:
                carriers.let_go(connection, self._database.now(connection), name)
        except StoreError as error:
            self._log.warning("the study of a closed association waits out its hold", error=str(error))

    def store(self, request: Request) -> tuple[str, int]:
        """Make one object durable.

        Returns
        -------
        tuple of str and int
            What became of it (a metric label) and the DIMSE status.

        Raises
        ------
        StoreError
            It could not be made durable.
        """
        self._refuse_when_full(len(request.data))
        digest = self._payload.put(request.data, request.digest)
        header, trouble = examine(request)
        with self._database.write() as connection:
            now = self._database.now(connection)
            if trouble:
                reason, detail = trouble
                arrivals.quarantine(
                    connection,
                    now,
                    sop_uid=request.sop_uid,
                    study_uid=_text(header, "StudyInstanceUID"),
                    sha256=digest,
                    size=len(request.data),
                    source=request.source.name,
                    reason=reason,
                    detail=detail,
                )
                received = None
            else:
                received = arrivals.receive(connection, now, arrival_of(header, request, digest))
            reach("listen_before_commit")
        reach("listen_after_commit")
        if received is None or received is Received.CONFLICT:
            self._log.warning(
                "object kept aside", instance=request.sop_uid, why=str(trouble[0] if trouble else received)
            )
            return "quarantined" if received is None else str(received), KEPT_ASIDE
        return str(received), SUCCESS

    def _refuse_oversize(self, size: int, source: Source | None) -> None:
        most = (source.max_object_mb if source else 0) or self._settings.max_object_mb
        if size > most * 2**20:
            raise StoreError(f"object of {size} bytes is over max_object_mb", hint="raise the limit if it is a film")

    def _refuse_when_full(self, size: int) -> None:
        if self._payload.free_bytes() - size < self._min_free:
            raise StoreError("free disk is below storage.min_free_mb", hint="free space on the payload volume")
        if self._database.free_bytes() < self._min_free:
            raise StoreError("free disk is below storage.min_free_mb", hint="free space on the database's volume")


def _still_known(source: Source | None) -> Source:
    """Refuse a source that left the configuration while its association was open."""
    if source is None:
        raise StoreError("the source is not configured any more", hint="configure it again, or remove it at the sender")
    return source


def examine(request: Request) -> tuple[Dataset, tuple[Reason, str] | None]:
    """The few header elements that rows need, and why the object must be kept aside; None when it may be filed."""
    try:
        header = read_elements(request.data, HEADER_TAGS)
    except Refused as refused:
        return Dataset(), (refused.reason, refused.message)
    return header, _contradiction(header, request)


def _contradiction(header: Dataset, request: Request) -> tuple[Reason, str] | None:
    if not _text(header, "SOPInstanceUID"):
        return Reason.UNREADABLE, "the header cannot be parsed: no SOP Instance UID in the data set"
    if not _text(header, "StudyInstanceUID"):
        return Reason.MISSING_UID, "the data set has no Study Instance UID, so no result could be filed"
    if _text(header, "SOPInstanceUID") != request.sop_uid:
        return Reason.MISSING_UID, "the SOP Instance UID of the data set is not that of the request"
    if max(len(_text(header, k)) for k in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")) > UID_LENGTH:
        return Reason.MISSING_UID, "a UID is longer than 64 characters (PS3.5 9.1)"
    return None


def arrival_of(header: Dataset, request: Request, digest: str) -> Arrival:
    """What the rows need of an object."""
    fast = request.source.fast_path and request.sop_class in RADIOGRAPHS
    return Arrival(
        sop_uid=request.sop_uid,
        sop_class=request.sop_class,
        study_uid=_text(header, "StudyInstanceUID"),
        series_uid=_text(header, "SeriesInstanceUID"),
        transfer_syntax=request.transfer_syntax,
        sha256=digest,
        size=len(request.data),
        source=request.source.name,
        calling_ae=request.calling_ae,
        accession=_text(header, "AccessionNumber")[:64],
        patient_id=_text(header, "PatientID")[:64],
        study_date=_text(header, "StudyDate")[:16],
        stat=_text(header, "RequestedProcedurePriority").upper() in {"STAT", "HIGH"},
        quiet_period_s=0.0 if fast else request.source.quiet_period_s,
        association="" if fast else request.association,
        hold_s=request.source.hold_open_s,
    )


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword, "") or "").strip("\0 ").replace("\0", "")
    except Exception:  # noqa: BLE001 - pydicom decodes values lazily, and a broken one is as good as none
        return ""
