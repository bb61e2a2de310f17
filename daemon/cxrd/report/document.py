"""What SR documents of every class carry alike: flags, evidence, predecessor (PS3.3 C.17.2)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import Dataset

from cxrd.report.composite import begin, referring
from cxrd.report.equipment import models_of
from cxrd.report.products import Imprint, Reference, Told
from cxrd.report.remarks import replaced


def start(told: Told, imprint: Imprint, beside: Iterable[Reference]) -> Dataset:
    """Start a document; its content is still to come.

    Parameters
    ----------
    beside : iterable of Reference
        Objects of ours that the content refers to.
    """
    made = begin(imprint, told.header, models_of([film.found for film in told.films]))
    del made.BodyPartExamined  # a document series has none (C.17.1)
    made.DeviceSerialNumber = imprint.facts.station_name
    made.ReferencedPerformedProcedureStepSequence = []
    made.PerformedProcedureCodeSequence = []
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    evidence = _evidence(told.header.StudyInstanceUID, [*told.evidence, *beside])
    made.CurrentRequestedProcedureEvidenceSequence = [evidence]
    if told.predecessor:
        made.PredecessorDocumentsSequence = [replaced(told.header, told.predecessor)]
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
