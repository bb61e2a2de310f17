"""Who gets in, rule by rule and on a real population of headers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom import uid as sop

from cxrd import report
from cxrd.admission import contradiction, instead, judge
from cxrd.errors import Reason, Refused
from cxrd.findings import ArtefactKind, View
from cxrd.imaging.header import read_header
from cxrd.rules import Admission
from support import openi
from support.analyses import FACTS, analysis, previews
from support.datasets import DX, encoded, film

MAMMO = "1.2.840.10008.5.1.4.1.1.1.2"


def coded(value: str, meaning: str = "") -> list[Dataset]:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
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
        ({"ViewPosition": "", "PatientOrientation": "", "ViewCodeSequence": coded("V7", "Seitlich")}, Reason.LATERAL),
        ({"BodyPartExamined": "", "AnatomicRegionSequence": coded("R7", "Thoracic spine")}, Reason.BODY_PART),
        ({"BodyPartExamined": "TSPINE"}, Reason.BODY_PART),
        ({"BodyPartExamined": "", "SeriesDescription": "ABDOMEN AP"}, Reason.BODY_PART),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.COLOUR),
        ({"SOPClassUID": sop.SecondaryCaptureImageStorage, "Modality": "CR", "SamplesPerPixel": 3}, Reason.COLOUR),
        ({"SOPClassUID": sop.GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR"}, Reason.SOP_CLASS),
        ({"SOPClassUID": sop.EncapsulatedPDFStorage, "Modality": "DOC"}, Reason.SOP_CLASS),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALIZER),
        ({"BodyPartExamined": "КОЛЕНО", "SpecificCharacterSet": "ISO_IR 192"}, Reason.BODY_PART),
        ({"BodyPartExamined": "", "SeriesDescription": "Genou face"}, Reason.BODY_PART),
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
        ({"BodyPartExamined": "", "AnatomicRegionSequence": coded("R1", "Thorax")}, View.PA),
        ({"ViewPosition": "", "PatientOrientation": "", "ViewCodeSequence": coded("V1", "a.p. liegend")}, View.AP),
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


def test_a_raw_image_names_the_film_that_is_judged_in_its_place() -> None:
    """The film made from it, else the study's others, else the one that ought to be sent."""
    source = Dataset()
    source.ReferencedSOPInstanceUID = "1.2.7"
    made = judge(film(SOPClassUID=DX, SourceImageSequence=[source])).sources
    assert {"1.2.7"} == made
    said = instead("1.2.7", {"1.2.8": frozenset(), "1.2.9": made})
    assert Reason.FOR_PROCESSING == said.reason
    assert "the film made from them is judged, image 1.2.9" in said.message
    assert "judged, image 1.2.8 and 1 more" in instead("1.2.6", {"1.2.8": frozenset(), "1.2.9": made}).message
    assert "send the FOR PRESENTATION film" in instead("1.2.6", {}).message


KINDS = ("frontal", "lateral", "turned", "inverted", "not_chest")


def test_burned_in_text_is_noted_or_refused() -> None:
    """As the site decides: the picture that is sent back would show it."""
    assert any("burnt" in note for note in judge(film(BurnedInAnnotation="YES")).notes)
    assert not judge(film(BurnedInAnnotation="NO")).notes
    with pytest.raises(Refused) as caught:
        judge(film(BurnedInAnnotation="YES"), Admission(burned_in="refuse"))
    assert Reason.BURNED_IN == caught.value.reason


def test_a_site_has_words_and_limits_of_its_own() -> None:
    """What the lists do not know is configured, not programmed."""
    czech = film(BodyPartExamined="HRUDNIK", ViewPosition="", PatientOrientation="", SeriesDescription="bocni")
    with pytest.raises(Refused):
        judge(czech)
    assert View.UNKNOWN == judge(czech, Admission(chest_words=("Hrudník",))).view
    with pytest.raises(Refused) as caught:
        judge(czech, Admission(chest_words=("Hrudník",), lateral_words=("boční",)))
    assert Reason.LATERAL == caught.value.reason
    with pytest.raises(Refused):
        judge(film(), Admission(smallest=300))
    local = film(ViewPosition="", PatientOrientation="", ViewCodeSequence=coded("V9", "bočná"))
    assert View.UNKNOWN == judge(local).view
    with pytest.raises(Refused):
        judge(local, Admission(lateral_words=("bočná",)))


def test_a_site_may_take_words_away() -> None:
    """A word of the lists that misleads there; the rest of the text still counts."""
    device = film(ViewPosition="", PatientOrientation="", SeriesDescription="Profil 2 Thorax")
    with pytest.raises(Refused):
        judge(device)
    assert View.UNKNOWN == judge(device, Admission(ignored_words=("profil 2",))).view
    device.SeriesDescription = "Profil 2 Thorax lateral"
    with pytest.raises(Refused):
        judge(device, Admission(ignored_words=("profil 2",)))


def test_a_site_may_name_other_classes_and_modalities_of_films() -> None:
    """A vendor's private class, or fluoroscopy; nothing else gets in by it."""
    private = film(SOPClassUID="1.3.6.1.4.1.99999.1", Modality="XX")
    rules = Admission(film_classes=("1.3.6.1.4.1.99999.1",), film_modalities=("XX",))
    assert View.PA == judge(private, rules).view
    assert Reason.SOP_CLASS == reason(SOPClassUID="1.3.6.1.4.1.99999.1", Modality="XX")
    with pytest.raises(Refused) as caught:
        judge(private, rules.model_copy(update={"film_modalities": ()}))
    assert Reason.MODALITY == caught.value.reason


def shown(**said: float) -> dict[str, float]:
    """What a content check says of a film: the named kinds, and the rest spread over the others."""
    rest = (1 - sum(said.values())) / (len(KINDS) - len(said))
    return {kind: said.get(kind, rest) for kind in KINDS}


@pytest.mark.parametrize(
    ("pixels", "view", "expected"),
    [
        (shown(frontal=0.9), View.UNKNOWN, None),
        (shown(frontal=0.4, lateral=0.5), View.UNKNOWN, Reason.LATERAL),
        (shown(frontal=0.4, lateral=0.5), View.PA, None),  # the header speaks for it
        (shown(frontal=0.01, lateral=0.9), View.PA, Reason.LATERAL),
        (shown(frontal=0.01, turned=0.9), View.AP, Reason.TURNED),
        (shown(frontal=0.01, inverted=0.9), View.FRONTAL, Reason.INVERTED),
        (shown(frontal=0.2, not_chest=0.7), View.UNKNOWN, Reason.NOT_CHEST_FILM),
        ({"frontal": 0.1, "hand": 0.9}, View.UNKNOWN, Reason.NOT_CHEST_FILM),  # a site's own check may know more
    ],
)
def test_pixels_that_contradict_the_header(pixels: dict[str, float], view: View, expected: Reason | None) -> None:
    """Strongly, where it names a frontal view; where it names none, they alone decide."""
    found = contradiction(pixels, view, Admission())
    assert expected == (found and found.reason)


def test_a_site_decides_how_much_is_enough() -> None:
    """Thresholds are rules, not code."""
    assert contradiction(shown(frontal=0.3), View.PA, Admission(frontal_named=0.4))
    assert not contradiction(shown(frontal=0.3), View.UNKNOWN, Admission(frontal_unnamed=0.2))


def test_a_real_population(films: Path, root: Path) -> None:
    """Of 7,469 real headers: frontals in, laterals out, and no film refused for being blank; the page tells it."""
    confusion = openi.confusion(films)
    totals = {truth: sum(outcomes.values()) for truth, outcomes in confusion.items()}
    assert 7469 == sum(totals.values())
    frontal = Counter(confusion["PA"]) + Counter(confusion["AP"])
    lateral = sum((Counter(outcomes) for truth, outcomes in confusion.items() if "L" in truth), Counter())
    assert (4016, 867) == (frontal.total(), lateral.total())
    admitted = sum(n for outcome, n in frontal.items() if outcome.startswith("admitted"))
    assert admitted >= 0.99 * frontal.total()
    assert lateral["refused: lateral"] >= 0.99 * lateral.total()
    assert {"admitted: unknown": 2586} == confusion["(blank)"]  # the pixels are asked
    page = (root / "docs" / "explanation" / "admission.md").read_text("utf-8")
    assert openi.table(confusion) in page, "PYTHONPATH=tests python -m support.openi ../shared/data"
