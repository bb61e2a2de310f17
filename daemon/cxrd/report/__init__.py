"""DICOM objects out of an analysis: one Structured Report for a study, one Secondary Capture for each film."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from cxrd.findings import Artefact, ArtefactKind, StudyAnalysis
from cxrd.report import sc, sr
from cxrd.report.equipment import node_uid
from cxrd.report.facts import ReportFacts
from cxrd.report.header import shim
from cxrd.report.uids import derive, series_of

__all__ = ["ReportFacts", "build"]


def build(  # noqa: PLR0913 - what a study's results are made of
    analysis: StudyAnalysis,
    headers: Mapping[str, Dataset],
    previews: Mapping[str, NDArray[np.uint8]],
    *,
    kinds: frozenset[ArtefactKind],
    facts: ReportFacts,
    now: datetime,
    supersedes: tuple[str, str] | None,
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
    kinds : frozenset of ArtefactKind
        What to build.
    now : datetime
        Content time, with UTC offset; the same analysis and time give the same bytes.
    supersedes : tuple or None
        SOP Instance and Class UID of the report that the new one replaces.

    Raises
    ------
    HeaderError
        A source header that no valid object can be made of.
    """
    shims = {uid: shim(header, facts.default_character_set) for uid, header in headers.items()}
    key = (analysis.study_uid, analysis.input_digest, analysis.model_digest, analysis.config_digest)
    device_uid = node_uid(facts, analysis.model_digest)
    made: list[Artefact] = []
    captures: dict[str, Dataset] = {}
    if ArtefactKind.SC in kinds:
        series = series_of(analysis.study_uid, ArtefactKind.SC)
        for number, film in enumerate(analysis.films, start=1):
            uid = derive(*key, "sc", film.film.sop_uid)
            source = shims[film.film.sop_uid]
            data = sc.build(
                film,
                previews[film.film.sop_uid],
                source,
                facts=facts,
                device_uid=device_uid,
                sop_uid=uid,
                series_uid=series,
                number=number,
                now=now,
            )
            captures[film.film.sop_uid] = _reference(source, uid, series)
            made.append(Artefact(kind=ArtefactKind.SC, sop_class=SecondaryCaptureImageStorage, sop_uid=uid, data=data))
    if ArtefactKind.SR in kinds:
        uid = derive(*key, "sr")
        data = sr.build(
            analysis,
            shims,
            captures,
            facts=facts,
            sop_uid=uid,
            series_uid=series_of(analysis.study_uid, ArtefactKind.SR),
            now=now,
            supersedes=supersedes,
        )
        made.append(Artefact(kind=ArtefactKind.SR, sop_class=sr.CLASSES[facts.sr_class], sop_uid=uid, data=data))
    return tuple(made)


def _reference(source: Dataset, sop_uid: str, series_uid: str) -> Dataset:
    """A capture as evidence of a report: its UIDs beside the film's patient and study."""
    made = deepcopy(source)  # a shallow copy would share its elements with the source
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, sop_uid
    made.SeriesInstanceUID = series_uid
    return made
