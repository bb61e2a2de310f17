"""``cxrd reconcile``: after a restore, the database meets the payload store and what each PACS holds (engine.md §6).

First the payload store: results without a row are remembered before films without a row are adopted, so that a
film analysed again gets the very objects it had. Then each destination is asked by C-FIND. Everything here may be
done twice and while the node runs; it is to be done before the first start on a restored database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cxrd.delivery.finder import Finder
from cxrd.errors import DeliveryError
from cxrd.intake.adoption import Adoption
from cxrd.peers import Destination
from cxrd.settings import Settings
from cxrd.store import reconciling, remnants
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.redelivery import Sent
from cxrd.store.remnants import Remnant


class Matter(StrEnum):
    """What two places disagree about."""

    FILM = "film without a row"
    RESULT = "result without a row"
    BYTES = "row without its bytes"
    LACKING = "delivered, but not there"
    THERE = "not delivered, but there"
    FORGOTTEN = "there, but without a row"
    SILENT = "could not be asked"


DONE = {
    Matter.FILM: "adopted; it is analysed when the node runs",
    Matter.RESULT: "remembered; building takes these bytes",
    Matter.BYTES: "nothing: restore the file from a backup, or let its sender send the study again",
    Matter.LACKING: "queued to be sent again",
    Matter.THERE: "marked as delivered",
    Matter.FORGOTTEN: "remembered; no other bytes are sent under its UID",
    Matter.SILENT: "nothing: reconcile again when it answers",
}
FOR_A_PERSON = frozenset({Matter.BYTES, Matter.SILENT})


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the answer.

    Attributes
    ----------
    where : str
        ``payload``, ``database`` or a destination's name.
    subject : str
        SOP Instance UID; the error where a destination could not be asked.
    """

    matter: Matter
    where: str
    study_uid: str
    subject: str

    @property
    def done(self) -> str:
        """What was done about it, or what a person has to do."""
        return DONE[self.matter]


class Reconciliation:
    """Compares, and corrects unless told not to.

    Parameters
    ----------
    settings : Settings
        Destinations, and our AE title.
    database, payload
        The rows and the bytes.
    since : str
        StudyDate (DA) from which destinations are searched for results that no row names; "" takes the day
        before the newest image that the database knows, or all studies when it knows none.
    younger_s : float
        Payload files younger than this are left to the node's own sweep.
    change : bool
        False only compares.
    advance : callable
        Told of each study that was asked for.
    """

    def __init__(  # noqa: PLR0913 - an operator's switches
        self,
        settings: Settings,
        database: Database,
        payload: Payloads,
        *,
        since: str = "",
        younger_s: float = 0.0,
        change: bool = True,
        advance: Callable[[str], object] = lambda _study: None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._payload = payload
        self._adoption = Adoption(database, payload, older_than_s=younger_s)
        self._since = since
        self._change = change
        self._advance = advance

    def run(self) -> Iterator[Difference]:
        """Every difference, after it was corrected."""
        with self._database.read() as connection:
            newest = reconciling.newest_at(connection)
        orphaned: set[str] = set()
        for difference in self._payload_side():
            orphaned.add(difference.study_uid)
            yield difference
        since = self._since or ("" if newest is None else _day_before(newest))
        for destination in self._settings.destinations:
            try:
                yield from self._destination_side(destination, since, orphaned)
            except DeliveryError as error:
                yield Difference(Matter.SILENT, destination.name, "", str(error))

    def _payload_side(self) -> Iterator[Difference]:
        for orphan in sorted(self._adoption.find(), key=lambda found: not found.ours):  # results first
            if not self._change or self._adoption.file(orphan):
                matter = Matter.RESULT if orphan.ours else Matter.FILM
                yield Difference(matter, "payload", orphan.arrival.study_uid, orphan.arrival.sop_uid)
        there = {digest for digests in self._payload.digests(before=float("inf")) for digest in digests}
        with self._database.read() as connection:
            missing = [row for row in reconciling.payloads(connection) if row[2] not in there]
        for study_uid, sop_uid, _ in missing:
            yield Difference(Matter.BYTES, "database", study_uid, sop_uid)

    def _destination_side(self, to: Destination, since: str, orphaned: set[str]) -> Iterator[Difference]:
        with self._database.read() as connection:
            sent = reconciling.deliveries(connection, to.name, since=_epoch(since))
            studies = orphaned | reconciling.studies_of_remnants(connection) | set(sent)
        with Finder.on(to, self._settings.dicom.ae_title) as finder:
            for study_uid in sorted(studies | finder.studies(since)):
                yield from self._study(to.name, study_uid, finder.results(study_uid, to.send), sent.get(study_uid, []))
                self._advance(study_uid)

    def _study(self, dest: str, study_uid: str, held: set[str], sent: list[Sent]) -> Iterator[Difference]:
        with self._database.read() as connection:
            forgotten = held - reconciling.known_objects(connection, study_uid, dest)
        for row in sent:
            if row.stored != (row.sop_uid in held):
                self._correct(row)
                yield Difference(Matter.LACKING if row.stored else Matter.THERE, dest, study_uid, row.sop_uid)
        for sop_uid in sorted(forgotten):
            self._remember(Remnant(sop_uid, study_uid, dest))
            yield Difference(Matter.FORGOTTEN, dest, study_uid, sop_uid)

    def _correct(self, row: Sent) -> None:
        if self._change:
            with self._database.write() as connection:
                correct = reconciling.send_again if row.stored else reconciling.mark_there
                correct(connection, self._database.now(connection), row)

    def _remember(self, found: Remnant) -> None:
        if self._change:
            with self._database.write() as connection:
                remnants.remember(connection, self._database.now(connection), found)


def _day_before(epoch_s: float) -> str:
    return (datetime.fromtimestamp(epoch_s, UTC) - timedelta(days=1)).strftime("%Y%m%d")


def _epoch(day: str) -> float:
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp() if day else 0.0
