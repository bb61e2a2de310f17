"""What SR documents of every class carry alike: flags, evidence, predecessor (PS3.3 C.17.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset

from cxrd.report.composite import begin, referring
from cxrd.report.equipment import models_of
from cxrd.report.products import Film, Imprint, Predecessor, Reference
from cxrd.report.remarks import replaced


def start(
    films: Sequence[Film], imprint: Imprint, beside: Iterable[Reference], predecessor: Predecessor | None
) -> Dataset:
    """Start a document on films; its content is still to come.

    Parameters
    ----------
    beside : iterable of Reference
        Objects of ours that the content refers to.
    predecessor : Predecessor or None
        The report that this one replaces.
    """
    # a film may leave its patient or order blank that another one of the study names
    header = max((film.header for film in films), key=lambda h: (bool(h.PatientID), bool(h.AccessionNumber)))
    made = begin(imprint, header, models_of([film.found for film in films]))
    del made.BodyPartExamined  # a document series has none (C.17.1)
    made.DeviceSerialNumber = imprint.facts.station_name
    made.ReferencedPerformedProcedureStepSequence = []
    made.PerformedProcedureCodeSequence = []
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    sources = [Reference(f.found.film.sop_class, f.found.film.sop_uid, f.header.SeriesInstanceUID) for f in films]
    made.CurrentRequestedProcedureEvidenceSequence = [_evidence(header.StudyInstanceUID, [*sources, *beside])]
    if predecessor:
        made.PredecessorDocumentsSequence = [replaced(header, predecessor)]
    return made


def _evidence(study_uid: str, references: Iterable[Reference]) -> Dataset:
    """Item of the evidence sequence: the study with each object under its series."""
    by_series: dict[str, Dataset] = {}
    for reference in references:
        series = by_series.setdefault(reference.series_uid, Dataset())
        item = referring(reference.sop_class, reference.sop_uid)
        if "SeriesInstanceUID" in series:
            series.ReferencedSOPSequence.append(item)
        else:
            series.SeriesInstanceUID, series.ReferencedSOPSequence = reference.series_uid, [item]
    study = Dataset()
    study.StudyInstanceUID = study_uid
    study.ReferencedSeriesSequence = list(by_series.values())
    return study
