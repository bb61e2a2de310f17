"""A listener in this process, and callers for it."""

from __future__ import annotations

from collections.abc import Callable

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from cxrd.intake.contexts import TRANSFER_SYNTAXES
from cxrd.intake.listener import Listener
from cxrd.peers import Dicom, Source
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.datasets import CR
from support.observing import Noted

SOURCES = (
    Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",), quiet_period_s=0),
    Source(name="far", ae_title="FAR", hosts=("10.0.0.0/8",), quiet_period_s=0),
)


class Door:
    """A running listener and what it noted."""

    def __init__(self, database: Database, payload: PayloadStore, *, min_free: int = 0, **changes: object) -> None:
        self.noted = Noted()
        self.settings = Dicom.model_validate({"bind": "127.0.0.1", "port": 0, "sources": SOURCES, **changes})
        self.listener = Listener(self.settings, database, payload, min_free_bytes=min_free, observer=self.noted)
        self.port = self.listener.start()

    def before_answer(self, act: Callable[[], None]) -> None:
        """Do something once, when the next object is durable and its sender is about to be told."""

        def told(source: str, outcome: str, size: int) -> None:
            del self.noted.instance
            self.noted.instance(source, outcome, size)
            act()

        self.noted.instance = told  # type: ignore[method-assign]

    def associate(self, title: str = "PACS", called: str = "CXRD", sop_class: str = CR) -> Association:
        """Ask for an association."""
        entity = AE(title)
        entity.add_requested_context(sop_class, list(TRANSFER_SYNTAXES[:1]))
        return entity.associate("127.0.0.1", self.port, ae_title=called)

    def store(self, dataset: Dataset) -> int:
        """Send one dataset; its status."""
        association = self.associate(sop_class=dataset.SOPClassUID)
        assert association.is_established
        status = int(association.send_c_store(dataset).Status)
        association.release()
        return status
