"""A stand-in PACS: takes every object, keeps it as a file, tells what it has, and misbehaves when asked to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from cxrd.intake import contexts

SUCCESS, PENDING = 0x0000, 0xFF00
UNIQUE_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
Behaviour = Callable[[str, int], int]
"""Asked with a SOP Instance UID and the number of this receipt; answers a DIMSE status."""


class StandInPacs:
    """A Storage, Query and Verification SCP.

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
        self._ae = AE(ae_title)
        self._ae.supported_contexts = contexts.accepted()
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._ae.maximum_pdu_size = 0
        self._server: Any = None

    def start(self) -> None:
        """Listen; ``port`` holds the port in use afterwards."""
        handlers: list[Any] = [
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
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

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        """Answer by the unique keys of the level and those above it (PS3.4 C.6.2.1); a study date may be a range."""
        asked: Any = event.identifier
        level = str(asked.QueryRetrieveLevel)
        told: set[str] = set()
        for path in sorted(self.folder.glob("*.dcm")):
            held = dcmread(path, stop_before_pixels=True)
            key = str(held[UNIQUE_KEYS[level]].value)
            if key not in told and all(_matches(asked, held, keyword) for keyword in UNIQUE_KEYS.values()):
                first, _, last = str(asked.get("StudyDate", "")).partition("-")
                if first <= str(held.get("StudyDate", "")) <= (last or "9"):
                    told.add(key)
                    answer = Dataset()
                    answer.QueryRetrieveLevel = level
                    setattr(answer, UNIQUE_KEYS[level], key)
                    yield PENDING, answer


def _matches(asked: Dataset, held: Dataset, keyword: str) -> bool:
    wanted = str(asked.get(keyword, "") or "")
    return wanted in ("", str(held[keyword].value))
