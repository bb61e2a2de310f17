"""A stand-in PACS: takes every object, keeps it as a file, tells what it has, and misbehaves when asked to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from cxrd.commitment import PUSH_MODEL
from cxrd.demo.commitments import Commitments
from cxrd.demo.query import Query
from cxrd.intake import contexts

SUCCESS = 0x0000
EVERY: list[Any] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
RADIOGRAPHS = (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)
"""What it sends when it is told to; it holds films as they came, uncompressed."""
Behaviour = Callable[[str, int], int]
"""Asked with a SOP Instance UID and the number of this receipt; answers a DIMSE status."""


class StandInPacs:
    """A Storage, Storage Commitment, Query/Retrieve and Verification SCP.

    Parameters
    ----------
    folder : Path
        Gets ``<SOP Instance UID>.dcm``; must exist.
    ae_title : str
        Called AE title.
    port : int
        0 takes a free one.
    behave : callable
        Status to answer; anything else than 0x0000 keeps no file. The default takes everything.
    bind : str
        Address to listen on.
    """

    def __init__(
        self,
        folder: Path,
        ae_title: str,
        port: int = 0,
        behave: Behaviour = lambda _uid, _receipt: SUCCESS,
        bind: str = "127.0.0.1",
    ) -> None:
        self.folder = folder
        self.port = port
        self._bind = bind
        self.receipts: Counter[str] = Counter()
        self.digests: dict[str, set[str]] = {}
        self._behave = behave
        self.commitments = Commitments(folder, ae_title)
        self.query = Query(folder)
        self._ae = AE(ae_title)
        self._ae.supported_contexts = contexts.accepted()
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        self._ae.requested_contexts = [build_context(name, EVERY) for name in RADIOGRAPHS]
        self._ae.add_supported_context(PUSH_MODEL)
        self._ae.maximum_pdu_size = 0
        self._server: Any = None

    def start(self) -> None:
        """Listen; ``port`` holds the port in use afterwards."""
        handlers: list[Any] = [
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self.query.on_find),
            (evt.EVT_C_MOVE, self.query.on_move),
            (evt.EVT_N_ACTION, self.commitments.on_action),
        ]
        self._server = self._ae.start_server((self._bind, self.port), block=False, evt_handlers=handlers)
        self.port = int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening and drop every association."""
        self._ae.shutdown()

    def _on_store(self, event: evt.Event) -> int:
        command: Any = event.request
        uid = str(command.AffectedSOPInstanceUID)
        self.receipts[uid] += 1
        status = self._behave(uid, self.receipts[uid])
        if status == SUCCESS:
            self.digests.setdefault(uid, set()).add(sha256(event.encoded_dataset(include_meta=False)).hexdigest())
            part = self.folder / f"{uid}.part"
            part.write_bytes(event.encoded_dataset())
            part.rename(part.with_suffix(".dcm"))  # a reader of the folder never sees half an object
        return status
