"""The ``fetch`` role: one claim is a slice of dates that is searched, or a study that an archive sends to us.

What an archive sends comes by the listener like every film, so it is as durable as any. A study is complete when every
image that the archive tells of is here; what does not come is asked for again, and in the end listed with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from random import random
from typing import Any

from sqlalchemy import Connection

from cxrd.backfill.archive import DESTINATION_UNKNOWN, Found, Link
from cxrd.backfill.slices import Slice, within
from cxrd.crashpoints import reach
from cxrd.delivery.sender import is_there
from cxrd.errors import ConfigError, DeliveryError
from cxrd.peers import Archive
from cxrd.settings import Settings
from cxrd.store import backfills, jobs, lanes
from cxrd.store.arrivals import UID_LENGTH
from cxrd.store.backfills import Outcome
from cxrd.store.database import Database
from cxrd.store.retry import backoff
from cxrd.store.schema import FetchState, JobKind
from cxrd.store.steps import Step
from cxrd.watch.logs import logger

AGAIN_BASE_S, AGAIN_CAP_S = 5.0, 600.0
NO_FILMS = "no series of the wanted modalities that may show a chest"


class Fetcher:
    """Handles ``fetch`` claims.

    Parameters
    ----------
    database : Database
        Where studies are.
    settings : Settings
        Archives, and the attempts after which a study is given up.
    """

    kind = JobKind.FETCH

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._log: Any = logger()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Ask other archives from the next claim on."""
        self._settings = settings
        self._archives = {archive.name: archive for archive in settings.archives}

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease the next slice or study of an archive that may be asked now."""
        clock = time.localtime(now)  # hours are those of the house
        minute = clock.tm_hour * 60 + clock.tm_min
        archives = self._archives
        caps = {name: a.max_associations for name, a in archives.items() if within(a.hours, minute)}
        if not caps or backfills.backlogged(connection):
            return []
        held = lanes.claim(connection, now, caps, owner=owner, lease_s=lease_s, kind=self.kind)
        for claim in held:
            lanes.spend(connection, now, claim.lane, 60.0 / archives[claim.lane].studies_per_minute)
        return held

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Search or fetch, one after the other."""
        for claim in claims:
            yield self._work(claim)

    def _work(self, claim: jobs.Claim) -> Step:
        archive = self._archives.get(claim.lane)
        if archive is None:
            raise ConfigError(f"archive {claim.lane} is not configured any more", hint="configure it, or cancel")
        with self._database.read() as connection:
            knock = lanes.must_knock(connection, claim.lane)
        if knock and not is_there(archive, self._settings.dicom.ae_title):
            return self._away(claim, DeliveryError("it does not answer a C-ECHO", retryable=True))
        with ExitStack() as opened:
            try:
                link = opened.enter_context(Link.on(archive, self._settings.dicom.ae_title))
            except DeliveryError as error:
                return self._away(claim, error)
            try:
                return self._search(claim, link) if is_slice(claim) else self._fetch(claim, link)
            except DeliveryError as error:
                return self._away(claim, error) if error.status == DESTINATION_UNKNOWN else self._troubled(claim, error)

    def _away(self, claim: jobs.Claim, error: DeliveryError) -> Step:
        """Leave an archive alone that cannot be asked, or cannot send to us: no fault of this slice or study."""
        self._log.warning("archive cannot be asked", archive=claim.lane, error=str(error))

        def effect(connection: Connection, now: float) -> None:
            lanes.failed(connection, now, claim.lane, jitter=random())  # noqa: S311 - jitter is no secret
            if not backfills.goes_on(connection, claim):
                jobs.finish(connection, now, claim)
                return
            jobs.release(connection, now, claim, error=str(error))
            if not is_slice(claim):
                backfills.note(connection, now, claim, Outcome(state=FetchState.WAITING, reason=str(error)))

        return Step(claim, effect)

    def _troubled(self, claim: jobs.Claim, error: DeliveryError) -> Step:
        """Try a slice or study again that an archive cannot tell of, and at last without the rest of its slice."""
        if claim.attempts < self._settings.work.max_attempts:
            return self._again(claim, Outcome(state=FetchState.WAITING, reason=str(error)))
        if not is_slice(claim):
            return self._settled(claim, Outcome(state=FetchState.FAILED, reason=str(error)))
        return self._searched(claim, Found({}, cut_off=True), str(error))

    def _search(self, claim: jobs.Claim, link: Link) -> Step:
        return self._searched(claim, link.studies(Slice.of(claim.payload["slice"])))

    def _searched(self, claim: jobs.Claim, found: Found, error: str = "") -> Step:
        part = Slice.of(claim.payload["slice"])
        halves = part.halves() if found.cut_off else None
        studies = {uid: date for uid, date in found.studies.items() if len(uid) <= UID_LENGTH}
        if len(studies) < len(found.studies):
            error = (
                error or f"{len(found.studies) - len(studies)} studies have a UID of more than {UID_LENGTH} characters"
            )
        if found.cut_off and halves is None:
            error = error or "more studies in a minute than the archive tells of"
            self._log.error("slice not searched to its end", archive=claim.lane, slice=str(part), why=error)

        def effect(connection: Connection, now: float) -> None:
            lanes.answered(connection, now, claim.lane)
            if not backfills.goes_on(connection, claim):
                jobs.finish(connection, now, claim)
                return
            new = backfills.add_studies(connection, now, claim, studies)
            for half in halves or ():
                backfills.add_slice(connection, now, claim.lane, int(claim.payload["backfill"]), half.plain())
            backfills.searched(connection, now, claim, found=len(studies), new=new, error=error)

        return Step(claim, effect)

    def _fetch(self, claim: jobs.Claim, link: Link) -> Step:
        expected = link.images(claim.study_uid)
        everything = frozenset[str]().union(*expected.values())
        if not everything:
            return self._settled(claim, Outcome(state=FetchState.SKIPPED, reason=NO_FILMS))
        here = self._stored(everything)
        said = []
        reach("fetch_before_send")
        for series, images in expected.items():
            if images - here:
                said.append(str(link.move(claim.study_uid, series)))
        reach("fetch_after_send")
        here = self._stored(everything)
        came = Outcome(state=FetchState.COMPLETE, expected=len(everything), stored=len(here))
        if here == everything:
            return self._settled(claim, came)
        why = f"{len(everything - here)} of {len(everything)} images did not come; {'; '.join(said)}"
        if claim.attempts >= self._settings.work.max_attempts:
            return self._settled(claim, replace(came, state=FetchState.FAILED, reason=why))
        return self._again(claim, replace(came, state=FetchState.WAITING, reason=why))

    def _settled(self, claim: jobs.Claim, outcome: Outcome) -> Step:
        if outcome.state is FetchState.FAILED:
            self._log.error("study not fetched", archive=claim.lane, study=claim.study_uid, why=outcome.reason)

        def effect(connection: Connection, now: float) -> None:
            lanes.answered(connection, now, claim.lane)
            backfills.settle(connection, now, claim, outcome)

        return Step(claim, effect)

    def _again(self, claim: jobs.Claim, outcome: Outcome) -> Step:
        wait = self._wait(claim)

        def effect(connection: Connection, now: float) -> None:
            lanes.answered(connection, now, claim.lane)
            if not backfills.goes_on(connection, claim):
                jobs.finish(connection, now, claim)
                return
            if not is_slice(claim):
                backfills.note(connection, now, claim, outcome)
            jobs.retry(connection, now, claim, delay_s=wait, error=outcome.reason)

        return Step(claim, effect)

    def _wait(self, claim: jobs.Claim) -> float:
        return backoff(claim.attempts, base_s=AGAIN_BASE_S, cap_s=AGAIN_CAP_S, jitter=random())  # noqa: S311 - jitter

    def _stored(self, sop_uids: frozenset[str]) -> frozenset[str]:
        with self._database.read() as connection:
            return frozenset(backfills.stored(connection, sop_uids))


def is_slice(claim: jobs.Claim) -> bool:
    """Whether a claim is dates to search, and not a study to fetch."""
    return "slice" in claim.payload


def search(archive: Archive, calling_ae: str, parts: Sequence[Slice]) -> Iterator[tuple[Slice, dict[str, str]]]:
    """Search without fetching: each part, halved where the archive tells no more, with its studies."""
    waiting = list(parts)[::-1]
    with Link.on(archive, calling_ae) as link:
        while waiting:
            part = waiting.pop()
            found = link.studies(part)
            if found.cut_off and (halves := part.halves()) is not None:
                waiting.extend(halves[::-1])
            else:
                yield part, found.studies
