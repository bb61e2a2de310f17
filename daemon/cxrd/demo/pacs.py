"""A stand-in PACS: takes every object, keeps it as a file, counts receipts, and misbehaves when asked to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt

from cxrd.intake import contexts

SUCCESS = 0x0000
Behaviour = Callable[[str, int], int]
"""Asked with a SOP Instance UID and the number of this receipt; answers a DIMSE status."""


class StandInPacs:
    """A Storage and Verification SCP on loopback.

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
    """

    def __init__(
        self, folder: Path, ae_title: str, port: int = 0, behave: Behaviour = lambda _uid, _receipt: SUCCESS
    ) -> None:
        self.folder = folder
        self.port = port
        self.receipts: Counter[str] = Counter()
        self.digests: dict[str, set[str]] = {}
        self._behave = behave
        self._ae = AE(ae_title)
        self._ae.supported_contexts = contexts.accepted()
        self._ae.maximum_pdu_size = 0
        self._server: Any = None

    def start(self) -> None:
        """Listen; ``port`` holds the port in use afterwards."""
        handlers: list[Any] = [(evt.EVT_C_ECHO, lambda _event: SUCCESS), (evt.EVT_C_STORE, self._on_store)]
        self._server = self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
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
