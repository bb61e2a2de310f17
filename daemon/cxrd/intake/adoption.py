"""Files without rows: a listener died between the rename and the commit, or a database lost its newest rows.

The sender got no answer and sends again, and then the same bytes get their row; but a standby that took over
without the last rows has no sender any more. So films that nobody names for a while are adopted as if they had
just arrived, and results that nobody names are remembered, so that building them again gives no other bytes.
What is here is never deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, select

from cxrd.errors import PayloadLost, Refused
from cxrd.imaging.header import read_elements
from cxrd.intake.listener import Request, arrival_of, examine
from cxrd.peers import Source
from cxrd.report.facts import PRODUCT
from cxrd.store import arrivals, remnants, schema
from cxrd.store.arrivals import Arrival, Received
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.remnants import Remnant
from cxrd.watch.logs import logger

OLDER_THAN_S = 3600.0
AT_ONCE = 500
"""Names that the database is asked for in one query."""
TOLD = ("SOPClassUID", "SOPInstanceUID", "ManufacturerModelName")
RECOVERED = Source(name="recovered", ae_title="RECOVERED", quiet_period_s=0)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A payload file without a row.

    Attributes
    ----------
    arrival : Arrival
        What its header tells, as if it had just been sent.
    ours : bool
        A result of ours, not a film.
    """

    arrival: Arrival
    ours: bool


class Adoption:
    """Finds payload files that no row names and files them.

    Parameters
    ----------
    database, payload
        The rows and the bytes.
    older_than_s : float
        Younger files are left alone: their commit may be under way.
    """

    def __init__(self, database: Database, payload: Payloads, *, older_than_s: float = OLDER_THAN_S) -> None:
        self._database = database
        self._payload = payload
        self._older_than_s = older_than_s
        self._log: Any = logger()

    def __call__(self) -> int:
        """File what nobody names; how many films were adopted."""
        found = sorted(self.find(), key=lambda orphan: not orphan.ours)  # a film that is adopted may be built at once
        return sum([self.file(orphan) and not orphan.ours for orphan in found])

    def find(self) -> Iterator[Orphan]:
        """Films and results that no row names; other files stay where they are."""
        names = chain.from_iterable(self._payload.digests(before=time.time() - self._older_than_s))
        while digests := list(islice(names, AT_ONCE)):
            with self._database.read() as connection:
                unknown = _without_row(connection, digests)
            yield from filter(None, map(self._open, sorted(unknown)))

    def file(self, orphan: Orphan) -> bool:
        """Adopt a film or remember a result; False when it was known after all."""
        it = orphan.arrival
        with self._database.write() as connection:
            now = self._database.now(connection)
            if orphan.ours:
                found = Remnant(it.sop_uid, it.study_uid, sha256=it.sha256, size=it.size)
                return remnants.remember(connection, now, found)
            received = arrivals.receive(connection, now, it)
        self._log.warning("a file without a row was adopted", instance=it.sop_uid, sha256=it.sha256)
        return received is Received.STORED

    def _open(self, digest: str) -> Orphan | None:
        """What a file is; None when it can be neither film nor result."""
        try:
            data = self._payload.get(digest)
        except PayloadLost as error:
            self._log.error("a file without a row cannot be used", sha256=digest, error=str(error))
            return None
        try:
            told = read_elements(data, TOLD)
        except Refused:
            return None
        request = Request(
            source=RECOVERED,
            calling_ae=RECOVERED.ae_title,
            sop_class=str(told.get("SOPClassUID", "")),
            sop_uid=str(told.get("SOPInstanceUID", "")),
            transfer_syntax=str(told.file_meta.get("TransferSyntaxUID", "")),
            data=data,
        )
        header, trouble = examine(request)
        if trouble is not None:
            return None  # it was never a film that could be filed; it stays where it is
        return Orphan(arrival_of(header, request, digest), ours=told.get("ManufacturerModelName") == PRODUCT)


def _without_row(connection: Connection, digests: list[str]) -> set[str]:
    known: set[str] = set()
    named = (schema.instance, schema.quarantine, schema.artefact, schema.remnant, schema.preview, schema.doomed)
    for table in named:
        known.update(connection.execute(select(table.c.sha256).where(table.c.sha256.in_(digests))).scalars())
    return set(digests) - known
