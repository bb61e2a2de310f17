"""The Structured Report: TID 1500, one for a study (PS3.16).

Layout: for each model and film one group without a Finding that answers every class (present, absent, undetermined),
and for each *present* finding a group of its own with probability, threshold, site and region. A viewer that lists
"Finding" items and ignores the answers beside them therefore never shows an absent disease as found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom import sr
from highdicom.sr import CodedConcept
from pydicom.sr.coding import Code as Concept

from cxrd.findings import FilmAnalysis, Finding, ModelAnswer
from cxrd.imaging.evidence import outline
from cxrd.report import codes, document
from cxrd.report.composite import encode, identify_private_codes
from cxrd.report.facts import PRODUCT
from cxrd.report.products import Imprint, Reference, Told
from cxrd.report.uids import derive

Groups = list[sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations]


def build(told: Told, imprint: Imprint, explanations: Mapping[str, Sequence[Reference]]) -> bytes:
    """Build one report, as Comprehensive 3D SR or, with the same content, as Comprehensive SR.

    Parameters
    ----------
    explanations : Mapping from SOP Instance UID of a film to sequence of Reference
        Images that show what the models saw on it, which the findings refer to.

    Returns
    -------
    bytes
        Part 10 file.
    """
    analyses = [film.found for film in told.films]
    beside = [r for film in analyses for r in explanations.get(film.film.sop_uid, ())]
    made = document.start(told, imprint, beside)
    made.update(_content(told, imprint, explanations))  # highdicom's own document copies and parses it all again
    identify_private_codes(made, *(x.code for film in analyses for a in film.answers for x in a.findings))
    return encode(made)


def _content(told: Told, imprint: Imprint, explanations: Mapping[str, Sequence[Reference]]) -> sr.ContainerContentItem:
    """Root of TID 1500: row 6 holds the groups, row 12 the remarks; one of the two is enough, and either may be alone.

    It is put together here, because highdicom's ``MeasurementReport`` cannot do without groups.
    """
    facts = imprint.facts
    observer = sr.ObserverContext(
        CodedConcept.from_code(codes.DEVICE),
        sr.DeviceObserverIdentifyingAttributes(
            uid=imprint.device_uid, name=facts.station_name, manufacturer_name=facts.manufacturer, model_name=PRODUCT
        ),
    )
    groups: Groups = []
    for film in (f.found for f in told.films):
        groups += [_answers(film, answer) for answer in film.answers if answer.findings]
        groups += [_present(film, *said, explanations.get(film.film.sop_uid, ())) for said in film.present()]
    report = sr.ContainerContentItem(codes.REPORT_TITLE, template_id="1500")
    report.ContentSequence = sr.ContentSequence(
        [
            *sr.LanguageOfContentItemAndDescendants(CodedConcept.from_code(codes.LANGUAGE)),
            *sr.ObservationContext(observer_device_context=observer),
            sr.CodeContentItem(
                codes.PROCEDURE_REPORTED_NAME,
                codes.PROCEDURE_REPORTED,
                relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
            ),
        ]
    )
    if groups:
        report.ContentSequence.append(_contained(codes.IMAGING_MEASUREMENTS, [item for g in groups for item in g]))
    evaluations: list[sr.ContentItem] = [] if told.films else [_nothing_judged()]
    evaluations += [_comment(remark) for remark in told.remarks]
    if evaluations:
        report.ContentSequence.append(_contained(codes.QUALITATIVE_EVALUATIONS, evaluations))
    return report


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
    film: FilmAnalysis, answer: ModelAnswer, finding: Finding, explanations: Sequence[Reference]
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
    for seen in explanations:
        group[0].ContentSequence.append(
            sr.ImageContentItem(
                codes.VISUAL_EXPLANATION,
                seen.sop_class,
                seen.sop_uid,
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )
    return group


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


def _contained(name: Concept, items: Sequence[sr.ContentItem]) -> sr.ContainerContentItem:
    """A container of the root."""
    container = sr.ContainerContentItem(name, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    container.ContentSequence = sr.ContentSequence(items)
    return container


def _nothing_judged() -> sr.CodeContentItem:
    """Row 13 of TID 1500, in the words that CAD reports use (CID 6047)."""
    return sr.CodeContentItem(
        codes.PROCESSING_SUMMARY, codes.NOTHING_JUDGED, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )


def _comment(remark: str) -> sr.TextContentItem:
    """Row 14 of TID 1500."""
    return sr.TextContentItem(codes.COMMENT, remark, relationship_type=sr.RelationshipTypeValues.CONTAINS)
