"""Who gets in, rule by rule and on a real population of headers."""

from __future__ import annotations

import ast
import csv
import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom import uid as sop

from cxrd import report
from cxrd.admission import Admitted, judge
from cxrd.errors import Reason, Refused
from cxrd.findings import ArtefactKind, View
from cxrd.imaging.header import read_header
from support.analyses import FACTS, analysis, previews
from support.datasets import DX, encoded, film

MAMMO = "1.2.840.10008.5.1.4.1.1.1.2"


def coded(value: str) -> list[Dataset]:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue = value
    return [item]


def reason(**changes: Any) -> Reason:
    """Why a changed film is refused."""
    with pytest.raises(Refused) as caught:
        judge(film(**changes))
    return caught.value.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SOPClassUID": sop.BasicTextSRStorage, "Modality": "SR"}, Reason.SOP_CLASS),
        ({"SOPClassUID": MAMMO, "Modality": "MG"}, Reason.SOP_CLASS),
        ({"SOPClassUID": sop.DigitalXRayImageStorageForProcessing}, Reason.FOR_PROCESSING),
        ({"SOPClassUID": DX, "PresentationIntentType": "FOR PROCESSING"}, Reason.FOR_PROCESSING),
        ({"Modality": "CT"}, Reason.MODALITY),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "Modality": "US"}, Reason.MODALITY),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "SourceImageSequence": [Dataset()]}, Reason.SOP_CLASS),
        ({"SamplesPerPixel": 3}, Reason.COLOUR),
        ({"NumberOfFrames": 12}, Reason.MULTIFRAME),
        ({"Rows": 120}, Reason.TOO_SMALL),
        ({"Rows": None}, Reason.NO_PIXELS),
        ({"BodyPartExamined": "KNEE"}, Reason.BODY_PART),
        ({"BodyPartExamined": "", "AnatomicRegionSequence": coded("72696002")}, Reason.BODY_PART),
        ({"ViewPosition": "LL"}, Reason.LATERAL),
        ({"ViewPosition": "LARGE LATERAL"}, Reason.LATERAL),
        ({"ViewPosition": "", "PatientOrientation": ["A", "F"]}, Reason.LATERAL),
        ({"ViewPosition": "", "ViewCodeSequence": coded("R-10236")}, Reason.LATERAL),
        ({"ViewPosition": "", "PatientOrientation": None, "SeriesDescription": "Chest lateral"}, Reason.LATERAL),
        ({"ViewPosition": "RAO", "PatientOrientation": ""}, Reason.LATERAL),
        ({"ViewPosition": "LLO", "PatientOrientation": ""}, Reason.LATERAL),
        ({"ViewPosition": "", "PatientOrientation": "", "ViewCodeSequence": coded("399136008")}, Reason.LATERAL),
        ({"BodyPartExamined": "TSPINE"}, Reason.BODY_PART),
        ({"BodyPartExamined": "", "SeriesDescription": "ABDOMEN AP"}, Reason.BODY_PART),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.COLOUR),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "Modality": "CR", "SamplesPerPixel": 3}, Reason.COLOUR),
        ({"SOPClassUID": sop.GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR"}, Reason.SOP_CLASS),
        ({"SOPClassUID": sop.EncapsulatedPDFStorage, "Modality": "DOC"}, Reason.SOP_CLASS),
    ],
)
def test_what_is_refused_and_why(changes: dict[str, Any], expected: Reason) -> None:
    """The first reason that applies is named by its code."""
    assert expected == reason(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, View.PA),
        ({"ViewPosition": "AP"}, View.AP),
        ({"ViewPosition": "", "PatientOrientation": ["R", "F"]}, View.FRONTAL),
        ({"ViewPosition": None, "PatientOrientation": None, "BodyPartExamined": None}, View.UNKNOWN),
        ({"ViewPosition": "", "PatientOrientation": "", "ViewCodeSequence": coded("399348003")}, View.AP),
        ({"ViewPosition": "", "PatientOrientation": None, "SeriesDescription": "view: PA"}, View.PA),
        ({"ViewPosition": "", "PatientOrientation": None, "SeriesDescription": "CHEST PA AND LATERAL"}, View.UNKNOWN),
        ({"SOPClassUID": DX, "Modality": "CR"}, View.PA),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "Modality": "OT", "ViewPosition": ""}, View.FRONTAL),
        ({"BodyPartExamined": "PORTABLE CHEST"}, View.PA),
        ({"BodyPartExamined": "", "AnatomicRegionSequence": coded("T-D3000")}, View.PA),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, View.PA),
        ({"BodyPartExamined": "UNKNOWN"}, View.PA),
        ({"BodyPartExamined": "TÓRAX"}, View.PA),
        ({"ViewPosition": "PORTABLE AP"}, View.AP),
        ({"ViewPosition": "", "PatientOrientation": "", "SeriesDescription": "Thorax p.a."}, View.PA),
        ({"ViewPosition": "", "PatientOrientation": "", "SeriesDescription": "Bilateral chest"}, View.UNKNOWN),
        ({"ViewPosition": "", "PatientOrientation": "", "StudyDescription": "CHEST LATERAL"}, View.UNKNOWN),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "SourceImageSequence": []}, View.PA),
        ({"PhotometricInterpretation": "MONOCHROME1"}, View.PA),
    ],
)
def test_what_is_admitted_and_as_which_view(changes: dict[str, Any], expected: View) -> None:
    """Blank is never a reason, and class and modality need not agree."""
    assert expected == judge(film(**changes)).view


def test_a_view_read_from_free_text_is_said_so() -> None:
    """A reader should know that a description and not a tag named the view."""
    assert judge(film(ViewPosition="", PatientOrientation=None, ProtocolName="Thorax AP")).notes


@pytest.mark.parametrize(("orientation", "noted"), [(["L", "F"], 0), (["L", "H"], 1), (["F", "R"], 1), ("", 0)])
def test_a_film_that_is_not_stored_upright_is_noted(orientation: Any, noted: int) -> None:
    """A model takes it as it is, so a reader should know."""
    assert noted == len(judge(film(PatientOrientation=orientation)).notes)


@pytest.mark.parametrize("kind", [ArtefactKind.SC, ArtefactKind.SR])
def test_our_own_results_are_never_analysed(kind: ArtefactKind) -> None:
    """A PACS may forward what it got from us; that must not become a film again, even if someone makes it grey."""
    source = read_header(encoded(film()))
    uid = source.SOPInstanceUID
    made = report.build(
        analysis(source),
        {uid: source},
        previews(source),
        sends=[frozenset({kind})],
        facts=FACTS,
        now=datetime(2026, 1, 2, tzinfo=UTC),
    )
    result = read_header(next(a.data for a in made if a.kind is kind))
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    with pytest.raises(Refused) as caught:
        judge(result)
    assert Reason.SOP_CLASS == caught.value.reason


def test_messages_repeat_no_more_than_a_word_of_a_header() -> None:
    """Someone may have typed a name there, and a log line must stay a line."""
    with pytest.raises(Refused) as caught:
        judge(film(BodyPartExamined="KNEE\nX" + "Y" * 500))
    assert len(caught.value.message) < 80
    assert "\n" not in caught.value.message


def header(row: dict[str, str]) -> Dataset:
    """A header of the Open-i table."""
    dataset = Dataset()
    for name in (
        "SOP Class UID",
        "Modality",
        "Rows",
        "Columns",
        "Samples per Pixel",
        "Body Part Examined",
        "View Position",
    ):
        if row[name]:
            value: Any = int(row[name]) if name in {"Rows", "Columns", "Samples per Pixel"} else row[name]
            setattr(dataset, name.replace(" per ", " Per ").replace(" ", ""), value)
    if row["Patient Orientation"]:
        dataset.PatientOrientation = ast.literal_eval(row["Patient Orientation"])
    if row.get("Presentation Intent Type"):
        dataset.PresentationIntentType = row["Presentation Intent Type"]
    return dataset


def test_a_real_population(films: Path) -> None:
    """Of 7,469 real headers: frontals in, laterals out, and no film refused for being blank."""
    outcome: Counter[tuple[str, str]] = Counter()
    with gzip.open(films / "openi-meta" / "nlmcxr_dicom_metadata.csv.gz", "rt") as table:
        for row in csv.DictReader(table):
            position = row["View Position"].upper()
            truth = "frontal" if position in {"PA", "AP"} else "lateral" if position else "blank"
            try:
                said = judge(header(row))
            except Refused as refused:
                outcome[truth, str(refused.reason)] += 1
            else:
                assert isinstance(said, Admitted)
                outcome[truth, "admitted"] += 1
    totals = {truth: sum(n for (t, _), n in outcome.items() if t == truth) for truth in ("frontal", "lateral", "blank")}
    assert {"frontal": 4016, "lateral": 867, "blank": 2586} == totals
    assert outcome["frontal", "admitted"] >= 0.99 * totals["frontal"]
    assert outcome["lateral", "lateral"] >= 0.99 * totals["lateral"]
    assert outcome["blank", "admitted"] == totals["blank"]
