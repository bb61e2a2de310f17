"""The Storage Commitment SCU (PS3.4 annex J): what a destination has stored, it is asked to keep.

A question is written down before it is asked, because its answer may come at once, at the listener of another
machine. It is asked again, under a new transaction UID, until there is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import random
from threading import Event
from typing import Any

from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.presentation import build_context
from sqlalchemy import Connection

from cxrd import commitment
from cxrd.commitment import Reference
from cxrd.crashpoints import reach
from cxrd.delivery.knocking import knock
from cxrd.delivery.reports import Reports
from cxrd.delivery.sender import opened
from cxrd.errors import DeliveryError
from cxrd.peers import Destination
from cxrd.settings import Settings
from cxrd.store import commitments, jobs, lanes
from cxrd.store.database import Database
from cxrd.store.retry import backoff
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger

SUCCESS = 0x0000

Hear = Callable[[evt.Event], tuple[int, None]]


class Committer:
    """Handles ``commitment`` claims of one destination: one is what it has stored of one analysis.

    Parameters
    ----------
    database : Database
        Where questions are written down.
    settings : Settings
        Destinations and waits.
    reports : Reports
        Hears an answer that comes on the association of its question.
    metrics : Metrics
        Where outcomes go.
    name : str
        The destination.
    """

    kind = JobKind.COMMITMENT

    def __init__(self, database: Database, settings: Settings, reports: Reports, metrics: m.Metrics, name: str) -> None:
        self._name = name
        self._database = database
        self._reports = reports
        self._metrics = metrics
        self._log: Any = logger()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Ask the destination as it is configured now from the next claim on, or no more."""
        self._settings = settings
        self._destinations = {d.name: d for d in settings.destinations if d.commit and d.name == self._name}

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease one question to a destination that is open and has a free association."""
        caps = {name: d.max_associations for name, d in self._destinations.items()}
        return lanes.claim(connection, now, caps, owner=owner, lease_s=lease_s, kind=self.kind)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Ask the destination of each claim."""
        for claim in claims:
            yield self._ask(claim)

    def _ask(self, claim: jobs.Claim) -> Step:
        destination = self._destinations.get(claim.lane)
        if destination is None:  # it was claimed a moment before it left the configuration, or need not commit any more
            return Step(claim, lambda connection, now: jobs.finish(connection, now, claim))
        with self._database.read() as connection:
            waiting = commitments.uncommitted(connection, int(claim.payload["inference_id"]), claim.lane)
        if not waiting:
            return Step(claim, lambda connection, now: jobs.finish(connection, now, claim))
        if closed := knock(self._database, claim, destination, self._settings.dicom.ae_title):
            return closed
        transaction = str(generate_uid(prefix=None))
        with self._database.write() as connection:
            commitments.ask(connection, self._database.now(connection), transaction, claim, waiting)
        reach("commitment_before_send")
        fault: DeliveryError | None = None
        try:
            ask(destination, self._settings.dicom.ae_title, transaction, waiting, self._reports)
        except DeliveryError as error:
            fault = error
        reach("commitment_after_send")
        return self._close(claim, waiting, fault)

    def _close(self, claim: jobs.Claim, waiting: Sequence[Reference], fault: DeliveryError | None) -> Step:
        delivery = self._settings.delivery
        wait = backoff(
            claim.attempts, base_s=delivery.commit_base_s, cap_s=delivery.commit_cap_s, jitter=0.5 + random() / 2  # noqa: S311 - jitter
        )  # fmt: skip

        def effect(connection: Connection, now: float) -> None:
            if fault is not None and fault.retryable:
                lanes.failed(connection, now, claim.lane, jitter=random())  # noqa: S311 - jitter is no secret
            else:
                lanes.answered(connection, now, claim.lane)
            if not commitments.uncommitted(connection, int(claim.payload["inference_id"]), claim.lane):
                jobs.finish(connection, now, claim)  # the answer came meanwhile
                return
            told = f"not asked: {fault}" if fault is not None else "asked, and not answered yet"
            jobs.retry(connection, now, claim, delay_s=wait, error=told)
            outcome = "unanswered" if fault is None or fault.retryable else "refused"
            self._metrics.count(m.COMMITMENTS, len(waiting), destination=claim.lane, outcome=outcome)

        if fault is not None:
            self._log.warning("not asked to commit", destination=claim.lane, error=str(fault), again_in_s=round(wait))
        return Step(claim, effect)


def ask(
    destination: Destination, calling_ae: str, transaction_uid: str, references: Sequence[Reference], hear: Hear
) -> None:
    """Ask a peer to commit objects, and hear its answer if it comes within ``commit_hold_s``.

    Raises
    ------
    DeliveryError
        It did not take the question; ``retryable`` when it gave no answer at all.
    """
    heard, answered = Event(), Event()

    def on_report(event: evt.Event) -> tuple[int, None]:
        heard.set()
        return hear(event)

    def on_sent(_event: evt.Event) -> None:
        if heard.is_set():  # our response has left: from now on the association may end
            answered.set()

    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, on_report), (evt.EVT_PDU_SENT, on_sent)]
    with opened(destination, calling_ae, [build_context(commitment.PUSH_MODEL)], handlers) as association:
        status, _ = association.send_n_action(
            commitment.question(transaction_uid, references),
            commitment.REQUEST_COMMITMENT,
            commitment.PUSH_MODEL,
            commitment.INSTANCE,
        )
        if "Status" not in status:
            raise DeliveryError("the association ended before an answer came", retryable=True)
        if int(status.Status) != SUCCESS:
            raise DeliveryError(
                f"status 0x{int(status.Status):04X} to the request of commitment",
                retryable=False,
                status=int(status.Status),
            )
        answered.wait(destination.commit_hold_s)


def fault_of(destination: Destination, calling_ae: str) -> str:
    """Why a peer cannot be asked to commit, "" when it can."""
    try:
        with opened(destination, calling_ae, [build_context(commitment.PUSH_MODEL)]):
            return ""
    except DeliveryError as error:
        return error.message
