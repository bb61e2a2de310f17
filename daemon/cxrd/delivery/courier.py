"""The ``deliver`` role: one claim is one analysis for one destination.

Deliveries never die of age: while a destination is down, or answers that it is out of resources, they are
tried again with growing waits. Only a permanent answer buries a job, and an operator can revive it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import random
from time import perf_counter
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Connection

from cxrd.crashpoints import reach
from cxrd.delivery.knocking import knock
from cxrd.delivery.sender import Outcome, Outgoing, SendResult, send
from cxrd.errors import ConfigError
from cxrd.findings import ArtefactKind
from cxrd.peers import Destination
from cxrd.settings import Settings
from cxrd.store import commitments, jobs, lanes, results, turns
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.retry import backoff
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger


class Courier:
    """Handles ``deliver`` claims.

    Parameters
    ----------
    database, payload
        Where objects are.
    settings : Settings
        Destinations and waits.
    metrics : Metrics
        Where outcomes and turnaround go.
    """

    kind = JobKind.DELIVER

    def __init__(self, database: Database, payload: Payloads, settings: Settings, metrics: m.Metrics) -> None:
        self._database = database
        self._payload = payload
        self._settings = settings
        self._metrics = metrics
        self._log: Any = logger()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Send to other destinations from the next claim on."""
        names = [d.name for d in settings.destinations]
        self._metrics.expect(m.DELIVERIES, destination=names, outcome=Outcome)
        self._destinations = {d.name: d for d in settings.destinations}

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease one delivery of a destination that is open and has a free sender."""
        caps = {name: d.max_associations for name, d in self._destinations.items()}
        return lanes.claim(connection, now, caps, owner=owner, lease_s=lease_s)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Send what the destination of each claim has not taken."""
        for claim in claims:
            yield self._deliver(claim)

    def _deliver(self, claim: jobs.Claim) -> Step:
        destination = self._destinations.get(claim.lane)
        if destination is None:  # it was claimed a moment before the configuration changed
            raise ConfigError(lanes.unknown(claim.lane))
        if closed := knock(self._database, claim, destination, self._settings.dicom.ae_title):
            return closed
        inference_id = int(claim.payload["inference_id"])
        with self._database.read() as connection:
            if turns.must_wait(connection, claim):
                wait = self._wait(claim)
                return Step(claim, lambda connection, now: turns.give_way(connection, now, claim, delay_s=wait))
            waiting = results.undelivered(connection, inference_id, destination.name)
        for row in waiting:
            self._payload.get(row.sha256)  # bytes that changed on disk are not sent
        with self._database.write() as connection:  # before the first byte: from now on it may have arrived
            for row in waiting:
                results.mark_attempt(connection, self._database.now(connection), row.sop_uid, destination.name)
        outgoing = [
            Outgoing(
                row.sop_class,
                row.sop_uid,
                str(ExplicitVRLittleEndian),  # what report writes, once and for all
                self._payload.file(row.sha256),
                attempted=row.attempted,
            )
            for row in waiting
        ]
        started = perf_counter()
        reach("deliver_before_send")
        answers = list(send(destination, self._settings.dicom.ae_title, outgoing)) if outgoing else []
        reach("deliver_after_send")
        self._metrics.observe(m.STAGE, perf_counter() - started, stage="deliver")
        for answer in answers:
            self._metrics.count(m.DELIVERIES, destination=destination.name, outcome=str(answer.outcome))
        return self._close(claim, destination, answers, {row.sop_uid: row for row in waiting})

    def _wait(self, claim: jobs.Claim) -> float:
        delivery = self._settings.delivery
        return backoff(claim.attempts, base_s=delivery.backoff_base_s, cap_s=delivery.backoff_cap_s, jitter=random())  # noqa: S311 - jitter

    def _close(
        self,
        claim: jobs.Claim,
        destination: Destination,
        answers: Sequence[SendResult],
        sent: Mapping[str, results.Undelivered],
    ) -> Step:
        rejected = [a for a in answers if a.outcome is Outcome.REJECTED]
        again = [a for a in answers if a.outcome is Outcome.RETRY]
        report_stored = any(
            a.outcome is Outcome.STORED and ArtefactKind(sent[a.sop_uid].kind).is_report for a in answers
        )
        wait = self._wait(claim)
        for answer in (*rejected, *again):
            self._log.warning(
                "object not delivered", instance=answer.sop_uid, destination=claim.lane, outcome=str(answer.outcome),
                answer=answer.message, again_in_s=round(wait, 1) if again and not rejected else None,
            )  # fmt: skip

        unheard = bool(answers) and all(a.status is None and a.outcome is Outcome.RETRY for a in answers)

        def effect(connection: Connection, now: float) -> None:
            if unheard:
                lanes.failed(connection, now, claim.lane, jitter=random())  # noqa: S311 - jitter is no secret
            else:
                lanes.answered(connection, now, claim.lane)
            for answer in answers:
                if answer.outcome is Outcome.STORED:
                    results.mark_stored(connection, now, answer.sop_uid, claim.lane, answer.status or 0)
                else:
                    attempted = sent[answer.sop_uid].attempted
                    results.mark_failed(
                        connection, now, answer.sop_uid, claim.lane, answer.status, answer.message, attempted=attempted
                    )
            if again:
                jobs.retry(connection, now, claim, delay_s=wait, error=again[0].message)
            elif rejected:
                jobs.bury(connection, now, claim, error=rejected[0].message)
            else:
                results.settle(connection, now, claim.study_uid)
                jobs.finish(connection, now, claim)
                if destination.commit:
                    commitments.await_commitment(connection, now, claim)
            if report_stored:
                turnaround = now - results.last_received_at(connection, claim.study_uid)
                self._metrics.observe(m.TURNAROUND_SECONDS, max(0.0, turnaround))

        return Step(claim, effect)
