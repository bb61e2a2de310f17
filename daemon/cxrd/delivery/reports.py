"""What a destination says of the objects it was asked to commit: N-EVENT-REPORT, at whichever door it comes."""

from __future__ import annotations

from typing import Any

from pynetdicom import evt

from cxrd import commitment
from cxrd.crashpoints import reach
from cxrd.errors import StoreError
from cxrd.peers import is_at
from cxrd.settings import Settings
from cxrd.store import commitments
from cxrd.store.database import Database
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger

SUCCESS, PROCESSING_FAILURE, NO_SUCH_EVENT, INVALID_ARGUMENT = 0x0000, 0x0110, 0x0113, 0x0115
"""Answers to N-EVENT-REPORT (PS3.7 annex C)."""
OUTCOMES = ("committed", "failed", "unanswered", "refused")
"""Of an object's commitment; the last two are those of a question, for each object in it."""


class Reports:
    """Hears reports and writes them down; one that is answered with success is durable.

    Parameters
    ----------
    database : Database
        Where the questions are.
    settings : Settings
        Destinations that are to commit.
    metrics : Metrics
        Where outcomes go.
    """

    def __init__(self, database: Database, settings: Settings, metrics: m.Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._log: Any = logger()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Hear other destinations from the next association on."""
        self._committing = [d for d in settings.destinations if d.commit]
        self._metrics.expect(m.COMMITMENTS, destination=[d.name for d in self._committing], outcome=OUTCOMES)

    def expected(self) -> bool:
        """Whether any destination is to commit."""
        return bool(self._committing)

    def teller(self, ae_title: str, address: str) -> str | None:
        """Name of the destination that calls, None when it is none that was asked to commit."""
        known = (d for d in self._committing if d.ae_title == ae_title.strip() and is_at(d.host, address))
        return next((d.name for d in known), None)

    def __call__(self, event: evt.Event) -> tuple[int, None]:
        """Answer one N-EVENT-REPORT."""
        request: Any = event.request
        if request.EventTypeID not in (commitment.ALL_COMMITTED, commitment.SOME_FAILED):
            return NO_SUCH_EVENT, None
        try:
            told = commitment.read(event.event_information)
            with self._database.write() as connection:
                heard = commitments.hear(connection, self._database.now(connection), told)
                reach("event_before_commit")
            reach("event_after_commit")
        except (ValueError, AttributeError) as error:
            self._log.warning("a report of commitment cannot be read", error=str(error))
            return INVALID_ARGUMENT, None
        except StoreError as error:
            self._log.error("a report of commitment was not taken", error=str(error))
            return PROCESSING_FAILURE, None
        if heard is None:
            self._log.warning("a report on a transaction that nobody here asked for", transaction=told.transaction_uid)
            return INVALID_ARGUMENT, None
        self._metrics.count(m.COMMITMENTS, heard.committed, destination=heard.dest, outcome="committed")
        self._metrics.count(m.COMMITMENTS, heard.failed, destination=heard.dest, outcome="failed")
        if heard.failed:
            self._log.error("objects were not committed and are sent again", destination=heard.dest, n=heard.failed)
        return SUCCESS, None
