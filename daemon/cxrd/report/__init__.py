"""DICOM objects out of an analysis: what each destination wants, built once and alike for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import reduce
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.findings import Artefact, ArtefactKind, StudyAnalysis
from cxrd.report import gsps, pm, sc, seg, sr, text
from cxrd.report.equipment import node_uid
from cxrd.report.facts import ReportFacts
from cxrd.report.header import HeaderError, shim
from cxrd.report.products import PRODUCTS, Film, Imprint, Predecessor, Reference, Told
from cxrd.report.remarks import remarks
from cxrd.report.uids import derive, series_of

__all__ = ["DEFAULT", "Predecessor", "ReportFacts", "build"]

DEFAULT = frozenset({ArtefactKind.SR, ArtefactKind.SC})
"""What is built where no destination says what it wants."""

PER_FILM: Mapping[ArtefactKind, Callable[[Film, Imprint], bytes | None]] = MappingProxyType(
    {
        ArtefactKind.SC: sc.build,
        ArtefactKind.GSPS: gsps.build,
        ArtefactKind.SEG: seg.build,
        ArtefactKind.PM: pm.build,
    }
)
"""Builders of one object for each film; None where there is nothing to show."""

EXPLAINING = (ArtefactKind.SC, ArtefactKind.SEG, ArtefactKind.PM)
"""Images that a report points to as visual explanation."""


def build(  # noqa: PLR0913 - what a study's results are made of
    analysis: StudyAnalysis,
    headers: Mapping[str, Dataset],
    previews: Mapping[str, NDArray[np.uint8]],
    *,
    sends: Collection[frozenset[ArtefactKind]],
    facts: ReportFacts,
    now: datetime,
    previous: Mapping[ArtefactKind, Predecessor] = MappingProxyType({}),
    built: Mapping[ArtefactKind, int] = MappingProxyType({}),
) -> tuple[Artefact, ...]:
    """Build every object that any destination gets.

    Parameters
    ----------
    analysis : StudyAnalysis
        What was found.
    headers : Mapping from SOP Instance UID to Dataset
        Source headers as received.
    previews : Mapping from SOP Instance UID to uint8 (h, w)
        Display-ready films in the source's orientation.
    sends : collection of frozenset of ArtefactKind
        The kinds that each destination gets; nothing at all is :data:`DEFAULT`.
    now : datetime
        Content time, with UTC offset; the same analysis and time give the same bytes.
    previous : Mapping from ArtefactKind to Predecessor
        The report of an earlier result that each new one replaces.
    built : Mapping from ArtefactKind to int
        Objects that earlier results of the study have: new ones are numbered after them, in the same series.

    Raises
    ------
    HeaderError
        A source header that no valid object can be made of, or films of several patients.
    """
    wanted = frozenset().union(*sends) or DEFAULT
    shims = {uid: shim(headers[uid], facts.default_character_set) for uid in analysis.sources}
    films = [
        Film(found, headers[uid], shims[uid], previews[uid]) for found in analysis.films for uid in [found.film.sop_uid]
    ]
    if len({of.PatientID for of in shims.values()} - {""}) > 1:  # refused before; no report names the wrong one
        raise HeaderError(
            "the films of this study name different patients (Patient ID)",
            hint="find out whose films they are, and send each patient's as a study of its own",
        )
    key = (analysis.study_uid, analysis.input_digest, analysis.model_digest, analysis.config_digest)
    device_uid = node_uid(facts, analysis.model_digest)

    def imprint(kind: ArtefactKind, number: int, *of: str) -> Imprint:
        return Imprint(
            kind=kind,
            sop_uid=derive(*key, kind, *of),
            series_uid=series_of(analysis.study_uid, kind),
            number=built.get(kind, 0) + number,
            facts=facts,
            device_uid=device_uid,
            now=now,
        )

    made: list[Artefact] = []
    shown: dict[ArtefactKind, dict[str, Reference]] = {}
    for kind in (k for k in PER_FILM if k in wanted):
        for number, film in enumerate(films, start=1):
            of = film.found.film.sop_uid
            mark = imprint(kind, number, of)
            data = PER_FILM[kind](film, mark)
            if data is not None:
                made.append(_artefact(mark, data))
                shown.setdefault(kind, {})[of] = Reference(mark.product.sop_class, mark.sop_uid, mark.series_uid)
    for kind in (k for k in ArtefactKind if k.is_report and k in wanted):
        mark = imprint(kind, 1)
        told = Told(
            films=films,
            # a film may leave its patient or order blank that another one of the study names
            header=max(shims.values(), key=lambda of: (bool(of.PatientID), bool(of.AccessionNumber))),
            evidence=[Reference(str(headers[u].SOPClassUID), u, x.SeriesInstanceUID) for u, x in shims.items()],
            remarks=remarks(films, analysis.unread, facts),
            predecessor=previous.get(kind),
        )
        if kind is ArtefactKind.SR_TEXT:
            data = text.build(told, mark)
        else:
            beside = [shown.get(k, {}) for k in EXPLAINING if k in _always_with(kind, sends)]
            explanations = {f.found.film.sop_uid: _of(f, beside) for f in films}
            data = sr.build(told, mark, explanations)
        made.append(_artefact(mark, data))
    return tuple(made)


def _artefact(mark: Imprint, data: bytes) -> Artefact:
    return Artefact(kind=mark.kind, sop_class=PRODUCTS[mark.kind].sop_class, sop_uid=mark.sop_uid, data=data)


def _always_with(kind: ArtefactKind, sends: Collection[frozenset[ArtefactKind]]) -> frozenset[ArtefactKind]:
    """Kinds that every receiver of ``kind`` gets too: a report must not point to what its reader does not have."""
    return reduce(frozenset.intersection, [s for s in sends if kind in s] or [DEFAULT])


def _of(film: Film, beside: Collection[Mapping[str, Reference]]) -> list[Reference]:
    return [by_film[uid] for by_film in beside for uid in [film.found.film.sop_uid] if uid in by_film]
