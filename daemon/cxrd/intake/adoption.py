"""Files without rows: a listener died between the rename and the commit, or a database lost its newest rows.

The sender got no answer and sends again, and then the same bytes get their row; but a standby that took over
without the last rows has no sender any more. So files that nobody names for a while are adopted as if they had
just arrived. Nothing is ever deleted.
"""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

from pydicom import FileDataset, dcmread
from sqlalchemy import Connection, select

from cxrd.errors import PayloadLost
from cxrd.intake.listener import Request, arrival_of, contradiction, parse_header
from cxrd.peers import Source
from cxrd.report.facts import PRODUCT
from cxrd.store import arrivals, schema
from cxrd.store.arrivals import Received
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.logs import logger

OLDER_THAN_S = 3600.0
RECOVERED = Source(name="recovered", ae_title="RECOVERED", quiet_period_s=0)


class Adoption:
    """Finds payload files that no row names and files them.

    Parameters
    ----------
    database, payload
        The rows and the bytes.
    older_than_s : float
        Younger files are left alone: their commit may be under way.
    """

    def __init__(self, database: Database, payload: PayloadStore, *, older_than_s: float = OLDER_THAN_S) -> None:
        self._database = database
        self._payload = payload
        self._older_than_s = older_than_s
        self._log: Any = logger()

    def __call__(self) -> int:
        """Adopt what nobody names; how many objects."""
        adopted = 0
        for digests in self._payload.digests(before=time.time() - self._older_than_s):
            with self._database.read() as connection:
                unknown = _without_row(connection, digests)
            adopted += sum(self._adopt(digest) for digest in sorted(unknown))
        return adopted

    def _adopt(self, digest: str) -> bool:
        try:
            data = self._payload.get(digest)
        except PayloadLost as error:
            self._log.error("a file without a row cannot be used", sha256=digest, error=str(error))
            return False
        header, told = parse_header(data), _told(data)
        if told.get("ManufacturerModelName") == PRODUCT:
            return False  # a result of ours whose row is missing is built again, byte for byte
        request = Request(
            source=RECOVERED,
            calling_ae=RECOVERED.ae_title,
            sop_class=str(told.get("SOPClassUID", "")),
            sop_uid=str(told.get("SOPInstanceUID", "")),
            transfer_syntax=str(told.file_meta.get("TransferSyntaxUID", "")),
            data=data,
        )
        if contradiction(header, request) is not None:
            return False  # it was never a film that could be filed; it stays where it is
        with self._database.write() as connection:
            received = arrivals.receive(connection, self._database.now(connection), arrival_of(header, request, digest))
        self._log.warning("a file without a row was adopted", instance=request.sop_uid, sha256=digest)
        return received is Received.STORED


def _without_row(connection: Connection, digests: list[str]) -> set[str]:
    known: set[str] = set()
    for table in (schema.instance, schema.quarantine, schema.artefact):
        known.update(connection.execute(select(table.c.sha256).where(table.c.sha256.in_(digests))).scalars())
    return set(digests) - known


def _told(data: bytes) -> FileDataset:
    tags = ["SOPClassUID", "SOPInstanceUID", "ManufacturerModelName"]
    return dcmread(BytesIO(data), specific_tags=tags, stop_before_pixels=True, force=True)
