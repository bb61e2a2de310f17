"""What IHE AI Results asks of an Evidence Creator, read off the objects; docs/explanation/air.md is the list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from cxrd import report
from cxrd.findings import Answer, ArtefactKind, Box
from cxrd.imaging.header import read_header
from support.analyses import CHARM, FACTS, OTHER, analysis, answer, finding, fourteen, previews
from support.datasets import encoded, film

GROUP, ALGORITHM, VERSION = "125007", "111001", "111003"
TRACKING, TRACKING_UID = "112039", "112040"
SOURCES = {"121112", "111040", "260753009"}
"""Names of the image that a group was made of: Source of Measurement, Original Source, Source."""


@pytest.fixture(scope="module")
def source() -> Dataset:
    """A film's header."""
    return read_header(encoded(film(AccessionNumber="A-17")))


@pytest.fixture(scope="module")
def made(source: Dataset) -> dict[ArtefactKind, Dataset]:
    """Every kind of object of a film that two models judged, one of them with a localised and an unplaced finding."""
    box = Box(left=20, top=100, right=90, bottom=220)
    findings = [
        finding("Mass", Answer.PRESENT) if f.class_id == "Mass" else f
        for f in fourteen("Pneumonia", boxes=(box,), hot=(5, 1))
    ]
    said = analysis(source, answers=(answer(CHARM, *findings), answer(OTHER, finding("none", Answer.PRESENT))))
    built = report.build(
        said,
        {source.SOPInstanceUID: source},
        previews(source),
        sends=[frozenset(ArtefactKind)],
        facts=FACTS,
        now=datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC),
    )
    return {artefact.kind: dcmread(BytesIO(artefact.data)) for artefact in built}


def tree(item: Dataset) -> Iterator[Dataset]:
    """An item of content and all below it."""
    yield item
    for child in item.get("ContentSequence", []):
        yield from tree(child)


def name(item: Dataset) -> str:
    """Code value of an item's concept name."""
    named = item.get("ConceptNameCodeSequence")
    return str(named[0].CodeValue) if named else ""


def texts(items: Iterator[Dataset], code: str) -> list[str]:
    """Values of the text and UID items of a name."""
    return [str(i.get("TextValue") or i.get("UID")) for i in items if name(i) == code]


def groups(document: Dataset) -> list[Dataset]:
    """Measurement groups of a report."""
    return [item for item in tree(document) if name(item) == GROUP]


def test_findings_are_a_comprehensive_3d_report_of_template_1500(made: dict[ArtefactKind, Dataset]) -> None:
    """The class, the root template, and the procedure that was analysed."""
    document = made[ArtefactKind.SR]
    assert "1.2.840.10008.5.1.4.1.1.88.34" == document.SOPClassUID
    template = document.ContentTemplateSequence[0]
    assert ("DCMR", "1500") == (template.MappingResource, template.TemplateIdentifier)
    (procedure,) = [item for item in document.ContentSequence if name(item) == "121058"]
    assert ("43468-8", "LN") == (
        procedure.ConceptCodeSequence[0].CodeValue,
        procedure.ConceptCodeSequence[0].CodingSchemeDesignator,
    )


def test_every_algorithm_is_equipment_of_every_object(made: dict[ArtefactKind, Dataset]) -> None:
    """Purpose, manufacturer, model, version and device UID; Seg and map name only the models that they show."""
    for kind, found in made.items():
        items = found.ContributingEquipmentSequence
        for item in items:
            assert ("109102", "DCM") == (
                item.PurposeOfReferenceCodeSequence[0].CodeValue,
                item.PurposeOfReferenceCodeSequence[0].CodingSchemeDesignator,
            )
            assert item.Manufacturer
            assert item.SoftwareVersions
            assert item.DeviceUID
        models = {item.ManufacturerModelName for item in items}
        shown = {"cxrd", "charm"} if kind in {ArtefactKind.SEG, ArtefactKind.PM} else {"cxrd", "charm", "deit_scm"}
        assert shown == models, kind


def test_what_names_an_algorithm_says_what_its_equipment_says(made: dict[ArtefactKind, Dataset]) -> None:
    """In the tree, in the observer and in the segments."""
    document = made[ArtefactKind.SR]
    equipment = {
        (i.ManufacturerModelName, i.SoftwareVersions): (i.Manufacturer, i.DeviceUID)
        for i in document.ContributingEquipmentSequence
    }
    for group in groups(document):
        (algorithm,), (version,) = (texts(tree(group), code) for code in (ALGORITHM, VERSION))
        assert (algorithm, version) in equipment
    observer = {code: texts(iter(document.ContentSequence), code) for code in ("121012", "121014", "121015")}
    node = document.ContributingEquipmentSequence[0]
    assert [[node.DeviceUID], [node.Manufacturer], [node.ManufacturerModelName]] == list(observer.values())
    for segment in made[ArtefactKind.SEG].SegmentSequence:
        stated = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert stated.AlgorithmSource == equipment[stated.AlgorithmName, stated.AlgorithmVersion][0]


def test_every_result_can_be_followed(made: dict[ArtefactKind, Dataset]) -> None:
    """An identifier and a UID for each group, its own; a segment has those of its finding."""
    told = groups(made[ArtefactKind.SR])
    uids = [texts(tree(group), TRACKING_UID) for group in told]
    assert [1] * len(told) == [len(found) for found in uids]
    assert all(texts(tree(group), TRACKING) for group in told)
    assert len(told) == len({found[0] for found in uids})
    assert {s.TrackingUID for s in made[ArtefactKind.SEG].SegmentSequence} <= {found[0] for found in uids}


def test_every_result_names_its_images_and_they_are_evidence(
    made: dict[ArtefactKind, Dataset], source: Dataset
) -> None:
    """Each group its film; whatever the tree refers to stands in the evidence of the same study."""
    document = made[ArtefactKind.SR]
    for group in groups(document):
        film_of = {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in tree(group) if name(i) in SOURCES}
        assert {source.SOPInstanceUID} == film_of
    referred = {
        i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in tree(document) if i.get("ValueType") == "IMAGE"
    }
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    assert source.StudyInstanceUID == study.StudyInstanceUID
    evidence = {i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}
    assert (
        referred
        == evidence
        == {
            source.SOPInstanceUID,
            *(made[kind].SOPInstanceUID for kind in (ArtefactKind.SC, ArtefactKind.SEG, ArtefactKind.PM)),
        }
    )


def test_nothing_is_verified_by_a_machine(made: dict[ArtefactKind, Dataset]) -> None:
    """A person may do so later, in a report of their own."""
    for kind in (k for k in ArtefactKind if k.is_report):
        assert ("UNVERIFIED", "COMPLETE") == (made[kind].VerificationFlag, made[kind].CompletionFlag)
        assert "VerifyingObserverSequence" not in made[kind]
