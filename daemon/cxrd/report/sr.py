"""The Structured Report: TID 1500, one for a study (PS3.16).

Layout: for each model and film one group without a Finding that answers every class (present, absent, undetermined),
and for each *present* finding a group of its own with probability, threshold, site and region. A viewer that lists
"Finding" items and ignores the answers beside them therefore never shows an absent disease as found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
from highdicom import sr
from highdicom.sr import CodedConcept
from pydicom import Dataset, dcmwrite
from pydicom.sr.coding import Code as Concept
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, ExplicitVRLittleEndian

from cxrd.findings import Answer, Box, ClassRole, FilmAnalysis, Finding, ModelAnswer, StudyAnalysis
from cxrd.report import codes
from cxrd.report.equipment import coded, contributing, models_of, node_uid, private_scheme, stamp
from cxrd.report.facts import PRODUCT, RESEARCH_USE, ReportFacts
from cxrd.report.uids import derive

SERIES_NUMBER = 9901
CLASSES = {"comprehensive3d": Comprehensive3DSRStorage, "comprehensive": ComprehensiveSRStorage}
Groups = list[sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations]


def build(  # noqa: PLR0913 - what a report is made of
    analysis: StudyAnalysis,
    headers: Mapping[str, Dataset],
    captures: Mapping[str, Dataset],
    *,
    facts: ReportFacts,
    sop_uid: str,
    series_uid: str,
    now: datetime,
    supersedes: tuple[str, str] | None,
) -> bytes:
    """Build one report.

    Parameters
    ----------
    analysis : StudyAnalysis
        What was found.
    headers : Mapping from SOP Instance UID to Dataset
        Header shims of the analysed films.
    captures : Mapping from SOP Instance UID of a film to Dataset
        Its Secondary Capture (UIDs suffice), which the findings refer to as their visual explanation.
    now : datetime
        Content time, with UTC offset.
    supersedes : tuple or None
        SOP Instance and Class UID of the report that this one replaces.

    Returns
    -------
    bytes
        Part 10 file, Explicit VR Little Endian.
    """
    device_uid = node_uid(facts, analysis.model_digest)
    first = headers[analysis.films[0].film.sop_uid]
    content = _content(analysis, captures, facts, device_uid)
    klass = sr.Comprehensive3DSR if facts.sr_class == "comprehensive3d" else sr.ComprehensiveSR
    made = klass(
        evidence=[*(headers[f.film.sop_uid] for f in analysis.films), *captures.values()],
        content=content,
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=sop_uid,
        instance_number=1,
        manufacturer=facts.manufacturer,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"{PRODUCT} AI findings",
    )
    stamp(made, facts, now)
    made.StudyDescription = first.StudyDescription
    made.DeviceSerialNumber = facts.station_name
    equipment: Any = contributing(facts, device_uid, models_of(analysis))
    made.ContributingEquipmentSequence = equipment
    if any(codes.uses_private_scheme(x.code) for _, _, x in analysis.findings()):
        made.CodingSchemeIdentificationSequence = [private_scheme()]
    if supersedes:
        made.PredecessorDocumentsSequence = [_predecessor(first, series_uid, supersedes)]
    buffer = BytesIO()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def _content(
    analysis: StudyAnalysis, captures: Mapping[str, Dataset], facts: ReportFacts, device_uid: str
) -> sr.MeasurementReport:
    observer = sr.ObserverContext(
        CodedConcept.from_code(codes.DEVICE),
        sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid, name=facts.station_name, manufacturer_name=facts.manufacturer, model_name=PRODUCT
        ),
    )
    groups: Groups = []
    for film in analysis.films:
        for answer in film.answers:
            if answer.findings:
                groups.append(_answers(film, answer))
            groups += [_present(film, answer, f, captures) for f in answer.findings if _worth_a_group(f)]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.PROCEDURE_REPORTED,
        imaging_measurements=groups or None,
        title=codes.REPORT_TITLE,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            CodedConcept.from_code(codes.LANGUAGE)
        ),
    )
    remarks = _remarks(analysis, facts)
    if remarks:
        report[0].ContentSequence.append(_evaluations(remarks))
    return report


def _worth_a_group(finding: Finding) -> bool:
    return finding.answer is Answer.PRESENT and finding.role is ClassRole.FINDING


def _answers(film: FilmAnalysis, answer: ModelAnswer) -> sr.MeasurementsAndQualitativeEvaluations:
    """Every class of one model on one film: the full list of what was asked."""
    key = (film.film.sop_uid, answer.model.id, answer.model.version, answer.model.digest)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(derive("answers", *key), f"{answer.model.id} answers"),
        algorithm_id=_algorithm(answer, answer.findings),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(codes.concept(f.code), codes.ANSWERS[f.answer]) for f in answer.findings
        ],
        source_images=[sr.SourceImageForMeasurementGroup(film.film.sop_class, film.film.sop_uid)],
    )


def _present(
    film: FilmAnalysis, answer: ModelAnswer, finding: Finding, captures: Mapping[str, Dataset]
) -> sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """One present finding, with its region where the model gives one."""
    key = (film.film.sop_uid, answer.model.id, answer.model.digest, finding.class_id)
    measurements = [_number(codes.PROBABILITY, finding.probability)]
    if finding.threshold is not None:
        measurements.append(_number(codes.THRESHOLD, finding.threshold))
    shared: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(derive("finding", *key), f"{answer.model.id} {finding.class_id}"),
        "finding_type": codes.concept(finding.code),
        "finding_sites": [sr.FindingSite(codes.concept(finding.site))] if finding.site else None,
        "algorithm_id": _algorithm(answer, [finding]),
        "measurements": measurements,
        "qualitative_evaluations": [sr.QualitativeEvaluation(codes.PRESENCE, codes.ANSWERS[finding.answer])],
    }
    group: sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations
    if finding.boxes:
        image = sr.SourceImageForRegion(film.film.sop_class, film.film.sop_uid)
        corners = outline(finding.boxes[0], film.film.rows, film.film.columns)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, corners, image), **shared
        )
    else:
        source = sr.SourceImageForMeasurementGroup(film.film.sop_class, film.film.sop_uid)
        group = sr.MeasurementsAndQualitativeEvaluations(source_images=[source], **shared)
    capture = captures.get(film.film.sop_uid)
    if capture is not None:
        group[0].ContentSequence.append(
            sr.ImageContentItem(
                codes.VISUAL_EXPLANATION,
                capture.SOPClassUID,
                capture.SOPInstanceUID,
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )
    return group


def outline(box: Box, rows: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Closed rectangle as (5, 2) column and row pairs inside the source matrix, 0-based edges (PS3.3 C.18.6)."""
    left, right = (round(min(max(x, 0.0), float(columns)), 2) for x in (box.left, box.right))
    top, bottom = (round(min(max(y, 0.0), float(rows)), 2) for y in (box.top, box.bottom))
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)


def _number(name: Concept, value: float) -> sr.Measurement:
    return sr.Measurement(name, round(float(value), 4), codes.NO_UNITS)


def _algorithm(answer: ModelAnswer, findings: Sequence[Finding]) -> sr.AlgorithmIdentification:
    """TID 4019: name and version as in Contributing Equipment, digest and operating points as parameters."""
    points = [f"threshold {f.class_id} {f.threshold:.4f}" for f in findings if f.threshold is not None]
    return sr.AlgorithmIdentification(
        name=answer.model.id,
        version=answer.model.version,
        parameters=[f"sha256 {answer.model.digest}", *points],
        family=codes.ALGORITHM_FAMILY,
    )


def _remarks(analysis: StudyAnalysis, facts: ReportFacts) -> list[str]:
    said = [RESEARCH_USE] if facts.research_use else []
    for film in analysis.films:
        said += [
            f"{a.model.id} {a.model.version}: applicability {a.applicability}; {a.note}" for a in film.answers if a.note
        ]
    return list(dict.fromkeys(said))


def _evaluations(remarks: Sequence[str]) -> sr.ContainerContentItem:
    """TID 1500 row 12: a container of qualitative evaluations, with row 14's text items."""
    container = sr.ContainerContentItem(
        codes.QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = sr.ContentSequence(
        [
            sr.TextContentItem(codes.COMMENT, remark, relationship_type=sr.RelationshipTypeValues.CONTAINS)
            for remark in remarks
        ]
    )
    return container


def _predecessor(header: Dataset, series_uid: str, supersedes: tuple[str, str]) -> Dataset:
    """Item of Predecessor Documents Sequence (PS3.3 C.17.2)."""
    document = Dataset()
    document.ReferencedSOPClassUID, document.ReferencedSOPInstanceUID = supersedes[1], supersedes[0]
    document.PurposeOfReferenceCodeSequence = [coded(codes.REPLACED_REPORT)]
    series = Dataset()
    series.SeriesInstanceUID = series_uid
    series.ReferencedSOPSequence = [document]
    study = Dataset()
    study.StudyInstanceUID = header.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study
