"""The ``build`` role: findings become DICOM objects, built once and stored before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from sqlalchemy import Connection

from cxrd import report
from cxrd.errors import PayloadLost
from cxrd.findings import ArtefactKind, FilmAnalysis
from cxrd.imaging.header import read_header
from cxrd.peers import Destination
from cxrd.report.facts import ReportFacts
from cxrd.store import jobs, remnants, results, turns
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.schema import JobKind
from cxrd.store.steps import Step
from cxrd.watch import metrics as m


class _Wanted(NamedTuple):
    """What destinations want, as one value: a reload comes between two studies, never within one.

    Attributes
    ----------
    sends : Mapping from destination to kinds
    sets : list of frozenset
        Kinds that some destination gets together.
    reports : list of ArtefactKind
        Kinds of report among them.
    """

    sends: Mapping[str, tuple[ArtefactKind, ...]]
    sets: list[frozenset[ArtefactKind]]
    reports: list[ArtefactKind]

    @classmethod
    def of(cls, destinations: Sequence[Destination]) -> Self:
        """Read it from the configuration."""
        sends = {d.name: tuple(ArtefactKind(kind) for kind in d.send) for d in destinations}
        sets = [frozenset(kinds) for kinds in sends.values() if kinds] or [report.DEFAULT]
        return cls(sends, sets, [k for k in ArtefactKind if k.is_report and any(k in kinds for kinds in sets)])


class BuildHandler:
    """Handles ``build`` claims.

    Parameters
    ----------
    database, payload
        Where analyses, films and finished objects are.
    destinations : sequence of Destination
        Who gets which kinds.
    facts : ReportFacts
        What every object says of this node.
    metrics : Metrics
        Where durations go.
    """

    kind = JobKind.BUILD

    def __init__(
        self,
        database: Database,
        payload: Payloads,
        destinations: Sequence[Destination],
        facts: ReportFacts,
        metrics: m.Metrics,
    ) -> None:
        self._database = database
        self._payload = payload
        self._facts = facts
        self._metrics = metrics
        self.follow(destinations)

    def follow(self, destinations: Sequence[Destination]) -> None:
        """Build for other destinations from the next study on."""
        self._wanted = _Wanted.of(destinations)

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease one analysis."""
        return jobs.claim(connection, now, self.kind, owner=owner, limit=1, lease_s=lease_s)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """One step for each claim: artefacts, deliveries and their jobs in one transaction."""
        for claim in claims:
            yield self._build(claim)

    def _build(self, claim: jobs.Claim) -> Step:
        inference_id, wanted = int(claim.payload["inference_id"]), self._wanted
        with self._database.read() as connection:
            if turns.must_wait(connection, claim):  # its report is to name the one that it replaces
                return Step(claim, lambda connection, now: turns.wait(connection, now, claim))
            recorded = results.inference(connection, inference_id)
            built = results.built_before(connection, claim.study_uid, before=inference_id)
            earlier = {
                kind: results.previous_report(connection, claim.study_uid, kind, before=inference_id)
                for kind in wanted.reports
            }
        previous = {kind: report.Predecessor(*found) for kind, found in earlier.items() if found}
        started = perf_counter()
        analysis = recorded.analysis
        headers: Mapping[str, Dataset] = {
            sop_uid: read_header(self._payload.get(sha256)) for sop_uid, sha256 in analysis.sources.items()
        }
        previews = {film.film.sop_uid: self._preview(film) for film in analysis.films}
        artefacts = report.build(
            analysis,
            headers,
            previews,
            sends=wanted.sets,
            facts=self._facts,
            # the analysis's own time, so that a rebuild after a crash gives the same bytes
            now=datetime.fromtimestamp(recorded.at, UTC).astimezone(),
            previous=previous,
            built=built,
        )
        rows = []
        for a in artefacts:
            sha256, size = self._built_before(a.sop_uid) or (self._payload.put(a.data), len(a.data))
            rows.append(
                results.NewArtefact(
                    kind=a.kind,
                    sop_class=a.sop_class,
                    sop_uid=a.sop_uid,
                    sha256=sha256,
                    size=size,
                    supersedes=previous[a.kind].sop_uid if a.kind in previous else None,
                )
            )
        self._metrics.observe(m.STAGE, perf_counter() - started, stage="build")

        def effect(connection: Connection, now: float) -> None:
            jobs.finish(connection, now, claim)  # first, so that who lost its lease is told so, and not of a conflict
            results.record_artefacts(connection, now, inference_id, rows, wanted.sends, priority=claim.priority)

        return Step(claim, effect)

    def _built_before(self, sop_uid: str) -> tuple[str, int] | None:
        """Bytes that the store holds from before a restore: others under the same UID would only lie beside them."""
        with self._database.read() as connection:
            return remnants.bytes_of(connection, sop_uid)

    def _preview(self, film: FilmAnalysis) -> NDArray[np.uint8]:
        png = np.frombuffer(self._payload.get(film.preview), np.uint8)
        image = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise PayloadLost(film.preview, "is no picture")
        return np.asarray(image, np.uint8)
