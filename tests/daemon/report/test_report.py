"""Objects that validators and readers find nothing wrong with."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom import sr

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Unread
from cxrd.imaging.header import read_header
from cxrd.report import codes, facts
from cxrd.report.header import shim
from cxrd.report.products import PRODUCTS, Predecessor
from cxrd.vocabulary import TERMS
from support.analyses import CHARM, FACTS, NIH, OTHER, analysis, answer, finding, fourteen, previews
from support.datasets import encoded, film
from support.objects import ALL, NOW, build, header, parsed
from support.validators import complaints, dcentvfy, dsrdump

REPORTS = [kind for kind in ArtefactKind if kind.is_report]


NAMES: dict[str, dict[str, Any]] = {
    "plain": {},
    "blank type 2": dict.fromkeys(["PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime"], ""),
    "missing type 2": dict.fromkeys(["PatientName", "PatientID", "PatientSex", "StudyDate", "AccessionNumber"]),
    "odd values": {"PatientSex": "U", "StudyDate": "19600", "StudyTime": "11:22:07", "PatientAge": "062Y"},
    "single component name": {"PatientName": "WARD"},
    "german": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
    "greek": {"SpecificCharacterSet": "ISO_IR 126", "PatientName": "Διονυσιος"},
    "cyrillic": {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люкceмбypг"},
    "japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "korean": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 149"],
        "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
    },
    "utf-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "王^小東"},
    "inverse": {"PhotometricInterpretation": "MONOCHROME1"},
}


@pytest.mark.parametrize("name", NAMES)
def test_no_validator_finds_an_error(tmp_path: Path, name: str) -> None:
    """In any kind of object, whatever the source header lacks or says."""
    source = header(**NAMES[name])
    made = build(analysis(source), source)
    assert {kind: [] for kind in ALL} == {kind: complaints(made[kind], tmp_path) for kind in ALL}


@pytest.mark.parametrize("name", ["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "SIIM_"])
def test_real_headers_make_valid_objects(films: Path, tmp_path: Path, name: str) -> None:
    """No preamble, blank tags, an age without its unit."""
    (path,) = (films / "dicom").glob(f"{name}*")
    source = read_header(path)
    made = build(analysis(source), source)
    assert {kind: [] for kind in ALL} == {kind: complaints(made[kind], tmp_path) for kind in ALL}


def test_eight_bit_text_without_a_character_set_is_read_by_the_sites_default() -> None:
    """Old modalities write Latin-1 and say nothing."""
    data = encoded(film(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"))
    silent = read_header(data.replace(b"ISO_IR 100", b"          "))
    assert "Müller^Jörg" == str(shim(silent, "ISO_IR 100").PatientName)


def test_results_lie_in_the_patients_own_study() -> None:
    """Same patient, study and accession; never the source's own instance."""
    source = header(AccessionNumber="A-17", StudyID="S-1")
    for artefact in build(analysis(source), source).values():
        found = parsed(artefact)
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "StudyID", "StudyDate"):
            assert source.get(keyword) == found.get(keyword), keyword
        assert artefact.sop_uid == found.SOPInstanceUID != source.SOPInstanceUID


@pytest.mark.parametrize(
    "named", [{"PatientName": "SMITH JOHN", "ReferringPhysicianName": "ward"}, {"PatientName": "Doe^John^^^"}]
)
def test_film_and_results_agree_on_patient_and_study(tmp_path: Path, named: dict[str, Any]) -> None:
    """Letter by letter, as archives compare them: names of one component too."""
    data = encoded(film(AccessionNumber="A-17", StudyID="S-1", StudyDescription="Thorax", **named))
    source = read_header(data)
    made = build(analysis(source), source)
    for keyword, value in named.items():
        assert {value} == {str(parsed(artefact)[keyword].value) for artefact in made.values()}
    assert [] == dcentvfy(tmp_path, data, *(artefact.data for artefact in made.values()))


@pytest.mark.parametrize(
    ("film_says", "expected"),
    [
        ("+0900", ("+0900", "20260102", "191112")),
        ("", ("+0000", "20260102", "101112")),
        ("JST", ("+0000", "20260102", "101112")),
    ],
)
def test_all_times_of_an_object_are_of_one_zone(film_says: str, expected: tuple[str, str, str]) -> None:
    """Study Time is the film's, and one offset speaks for it and for ours: the film's, where it states one."""
    source = header(TimezoneOffsetFromUTC=film_says)
    for kind, artefact in build(analysis(source), source).items():
        found = parsed(artefact)
        date, time = (
            ("PresentationCreationDate", "PresentationCreationTime")
            if kind is ArtefactKind.GSPS
            else ("ContentDate", "ContentTime")
        )
        assert expected == (found.TimezoneOffsetFromUTC, found[date].value, found[time].value[:6])
        assert ("20260102", "101112") == (found.StudyDate, found.StudyTime)


def test_the_same_analysis_gives_the_same_bytes() -> None:
    """A builder that died builds the same object again."""
    source = header()
    first, second = (build(analysis(source), source) for _ in range(2))
    assert {k: a.data for k, a in first.items()} == {k: a.data for k, a in second.items()}


def test_another_input_model_or_configuration_gives_other_uids() -> None:
    """And nothing else does."""
    source = header()
    same = analysis(source)
    changes = [{}, *({k: "9" * 64} for k in ("input_digest", "model_digest", "config_digest"))]
    uids = {build(same.model_copy(update=change), source)[ArtefactKind.SR].sop_uid for change in changes}
    assert 4 == len(uids)


def findings_in(artefact: Artefact, tmp_path: Path) -> list[str]:
    """Values of every item named Finding."""
    text, _ = dsrdump(artefact, tmp_path)
    lines = [line for line in text.splitlines() if '(,,"Finding")' in line]
    return [line.split('"')[-2] for line in lines]


def test_an_absent_disease_is_never_named_as_a_finding(tmp_path: Path) -> None:
    """A viewer that ignores answers shows the present one and nothing else."""
    source = header()
    made = build(analysis(source), source)[ArtefactKind.SR]
    assert ["Pneumonia"] == findings_in(made, tmp_path)
    text, _ = dsrdump(made, tmp_path)
    assert [12, 1] == [text.count(f'"{word}")>') for word in ("Absent", "Undetermined")]


def test_nothing_found_is_said_and_not_left_out(tmp_path: Path) -> None:
    """No Finding item, and an answer for every class."""
    source = header()
    quiet = analysis(source, answers=(answer(CHARM, *fourteen()),))
    made = build(quiet, source)[ArtefactKind.SR]
    assert [] == findings_in(made, tmp_path)
    text, _ = dsrdump(made, tmp_path)
    assert len(NIH) - 1 == text.count('"Absent")>')


SILENT = answer(CHARM, note="age 4 is outside the model's intended use")


@pytest.mark.parametrize("research_use", [True, False])
@pytest.mark.parametrize("kind", ArtefactKind)
def test_a_film_that_no_model_judges_gets_valid_objects_that_say_so(
    tmp_path: Path, kind: ArtefactKind, *, research_use: bool
) -> None:
    """A child's film, and models for adults alone: of every kind, each built alone; maps need a localised finding."""
    source = header()
    silent = analysis(source, answers=(SILENT, answer(OTHER)))
    quiet = replace(FACTS, research_use=research_use)
    made = build(silent, source, sends=[frozenset({kind})], facts=quiet)
    if kind in {ArtefactKind.SEG, ArtefactKind.PM}:
        assert {} == made
        return
    assert [] == complaints(made[kind], tmp_path)
    if kind.is_report:
        text, _ = dsrdump(made[kind], tmp_path)
        assert f"no model answers for image {source.SOPInstanceUID}" in text
        assert "outside the model's intended use" in text
        assert [] == findings_in(made[kind], tmp_path)


def test_a_silent_film_beside_an_answered_one_is_named(tmp_path: Path) -> None:
    """Its reader must not take silence for health."""
    one, two = header(), header()
    two.StudyInstanceUID = one.StudyInstanceUID
    both = analysis(one, two)
    silent = both.films[1].model_copy(update={"answers": (SILENT,)})
    made = build(both.model_copy(update={"films": (both.films[0], silent)}), one, two)
    for kind in REPORTS:
        text, _ = dsrdump(made[kind], tmp_path)
        assert [two.SOPInstanceUID] == re.findall(r"no model answers for image ([0-9.]+)", text)


def test_a_film_that_was_refused_is_named_beside_the_analysed_one(tmp_path: Path) -> None:
    """Nobody must think that the lateral was looked at too; the document stays valid."""
    source = header()
    unread = (Unread(sop_uid="1.2.840.99.7", sha256="5" * 64, why="the header says that the view is lateral"),)
    made = build(analysis(source).model_copy(update={"unread": unread}), source)
    for kind in REPORTS:
        text, _ = dsrdump(made[kind], tmp_path)
        assert "image 1.2.840.99.7 of this study was not analysed: the header says that the view is lateral" in text
        assert [] == complaints(made[kind], tmp_path)


def test_a_study_without_any_film_to_judge_can_be_answered_by_a_report(tmp_path: Path) -> None:
    """It says that nothing was analysed, and why, in words and by code; the images are its evidence."""
    source = header(ViewPosition="LL")
    why = "the header says that the view is lateral"
    unread = (Unread(sop_uid=source.SOPInstanceUID, sha256="5" * 64, why=why),)
    empty = analysis(source).model_copy(update={"films": (), "unread": unread, "refusal": f"lateral: {why}"})
    made = build(empty, source)
    assert set(REPORTS) == made.keys()
    for kind in REPORTS:
        text, _ = dsrdump(made[kind], tmp_path)
        assert f"image {source.SOPInstanceUID} of this study was not analysed: {why}" in text
        assert "no image of this study was analysed" in text
        assert kind is ArtefactKind.SR_TEXT or "No algorithms succeeded" in text
        assert [] == findings_in(made[kind], tmp_path)
        assert [] == complaints(made[kind], tmp_path)
        document = parsed(made[kind])
        assert source.PatientID == document.PatientID
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        assert source.SeriesInstanceUID == series.SeriesInstanceUID
        assert [source.SOPInstanceUID] == [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]


def test_normality_is_an_answer_and_not_a_disease(tmp_path: Path) -> None:
    """The classes "none" and "other" of a model never become Finding items."""
    source = header()
    said = answer(OTHER, finding("none", Answer.PRESENT), finding("other", Answer.ABSENT))
    made = build(analysis(source, answers=(said,)), source)[ArtefactKind.SR]
    assert [] == findings_in(made, tmp_path)
    assert '"Standard chest X-ray normal")=(52101004,SCT,"Present")' in dsrdump(made, tmp_path)[0]


def test_a_reader_of_tid_1500_finds_groups_and_region() -> None:
    """By the getters of a library that others use."""
    source = header()
    made = build(analysis(source), source)[ArtefactKind.SR]
    content: Any = sr.srread(BytesIO(made.data)).content
    (roi,) = content.get_planar_roi_measurement_groups()
    assert "Pneumonia" == roi.finding_type.meaning
    assert [0.8123, 0.5] == [m.value for m in roi.get_measurements()]
    np.testing.assert_allclose(roi.roi.value[0], [source.Columns * 0.1, source.Rows * 0.5], atol=0.01)
    (answers,) = [g for g in content.get_image_measurement_groups() if not g.finding_type]
    asked = {codes.concept(TERMS[name].code).meaning for name in NIH}
    assert asked <= {evaluation.name.meaning for evaluation in answers.get_qualitative_evaluations()}


def evidence(artefact: Artefact) -> set[str]:
    """Everything that a report says it was made of."""
    return {
        item.ReferencedSOPInstanceUID
        for study in parsed(artefact).CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_the_report_points_to_its_pictures_and_its_film(tmp_path: Path) -> None:
    """Evidence names them; the finding's visual explanations are capture, segmentation and map."""
    source = header()
    made = build(analysis(source), source)
    pictures = {made[kind].sop_uid for kind in (ArtefactKind.SC, ArtefactKind.SEG, ArtefactKind.PM)}
    assert {source.SOPInstanceUID, *pictures} == evidence(made[ArtefactKind.SR])
    text, _ = dsrdump(made[ArtefactKind.SR], tmp_path)
    assert 3 == text.count('"Visual explanation"')


def test_equipment_says_the_same_everywhere(tmp_path: Path) -> None:
    """IHE AIR: model name, version and device UID equal the algorithm's and the observer's."""
    source = header()
    two = analysis(source, answers=(answer(CHARM, *fourteen()), answer(OTHER, finding("none", Answer.PRESENT))))
    found = parsed(build(two, source)[ArtefactKind.SR])
    items = found.ContributingEquipmentSequence
    names = [(item.ManufacturerModelName, item.SoftwareVersions) for item in items]
    assert [("cxrd", "0.1.0"), ("charm", "1.0.0"), ("deit_scm", "2.1.0")] == names
    assert 3 == len({item.DeviceUID for item in items})
    text, _ = dsrdump(build(two, source)[ArtefactKind.SR], tmp_path)
    assert items[0].DeviceUID in text
    retrained = analysis(source, answers=(answer(CHARM.model_copy(update={"digest": "ef" * 32}), *fourteen()),))
    other = parsed(build(retrained, source)[ArtefactKind.SR]).ContributingEquipmentSequence[1]
    assert items[1].DeviceUID != other.DeviceUID


def test_research_use_is_stated_until_a_site_turns_it_off(tmp_path: Path) -> None:
    """In the report's text and in the picture's banner."""
    source = header()
    loud = build(analysis(source), source)
    assert all("Research use only" in dsrdump(loud[kind], tmp_path)[0] for kind in REPORTS)
    described = (ArtefactKind.GSPS, ArtefactKind.SEG, ArtefactKind.PM)
    assert {facts.RESEARCH_USE} == {parsed(loud[kind]).ContentDescription for kind in described}
    settled = FACTS.__class__(**{**{k: getattr(FACTS, k) for k in FACTS.__slots__}, "research_use": False})
    quiet = build(analysis(source), source, facts=settled)
    assert not any(b"Research use" in artefact.data for artefact in quiet.values())
    assert loud[ArtefactKind.SC].data != quiet[ArtefactKind.SC].data


@pytest.mark.parametrize("kind", REPORTS)
def test_a_new_report_names_the_one_it_replaces(tmp_path: Path, kind: ArtefactKind) -> None:
    """Predecessor, with its purpose, and still valid."""
    source = header()
    before = Predecessor(ArtefactKind.SR, PRODUCTS[ArtefactKind.SR].sop_class, "1.2.3.4")
    made = build(analysis(source), source, previous={kind: before})[kind]
    (study,) = parsed(made).PredecessorDocumentsSequence
    assert "1.2.3.4" == study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert [] == complaints(made, tmp_path)


def test_a_study_of_two_films_is_one_report_and_each_films_own_images(tmp_path: Path) -> None:
    """Each film has its own picture; the report speaks of both."""
    one, two = header(), header()
    two.StudyInstanceUID = one.StudyInstanceUID
    made = report.build(
        analysis(one, two),
        {h.SOPInstanceUID: h for h in (one, two)},
        previews(one, two),
        sends=[ALL],
        facts=FACTS,
        now=NOW,
    )
    kinds = ["sc", "sc", "gsps", "gsps", "seg", "seg", "pm", "pm", "sr", "sr-comprehensive", "sr-text"]
    assert kinds == [a.kind for a in made]
    assert len(made) == len({a.sop_uid for a in made})
    assert [] == [line for a in made for line in complaints(a, tmp_path)]


def test_the_older_class_carries_the_same_content() -> None:
    """For archives that do not know Comprehensive 3D SR."""
    source = header()
    made = build(analysis(source), source)
    newer, older = (parsed(made[kind]) for kind in (ArtefactKind.SR, ArtefactKind.SR_COMPREHENSIVE))
    assert "1.2.840.10008.5.1.4.1.1.88.33" == made[ArtefactKind.SR_COMPREHENSIVE].sop_class == older.SOPClassUID
    assert newer.ContentSequence == older.ContentSequence


def test_a_report_never_points_to_what_its_receiver_does_not_get() -> None:
    """One destination without captures is enough: its readers would follow a reference to nothing."""
    source = header()
    captures = frozenset({ArtefactKind.SR, ArtefactKind.SC})
    assert 2 == len(evidence(build(analysis(source), source, sends=[captures])[ArtefactKind.SR]))
    alone = build(analysis(source), source, sends=[captures, frozenset({ArtefactKind.SR})])
    assert {source.SOPInstanceUID} == evidence(alone[ArtefactKind.SR])


def test_only_what_somebody_wants_is_built() -> None:
    """And a report with its picture where nobody says."""
    source = header()
    assert {"gsps"} == set(build(analysis(source), source, sends=[frozenset({ArtefactKind.GSPS})]))
    assert {"sr", "sc"} == set(build(analysis(source), source, sends=[]))


def test_every_kind_has_a_series_of_its_own() -> None:
    """Objects of one kind lie together, whichever result they are of."""
    source = header()
    made = {kind: parsed(a) for kind, a in build(analysis(source), source).items()}
    again = build(analysis(source).model_copy(update={"input_digest": "9" * 64}), source)
    assert len(ALL) == len({m.SeriesInstanceUID for m in made.values()}) == len({m.SeriesNumber for m in made.values()})
    for kind, artefact in again.items():
        assert made[kind].SeriesInstanceUID == parsed(artefact).SeriesInstanceUID
    assert {k: p.modality for k, p in PRODUCTS.items()} == {k: m.Modality for k, m in made.items()}


@pytest.mark.parametrize("term", [t for t in TERMS.values() if t.code.scheme == "SCT"], ids=lambda t: t.code.meaning)
def test_snomed_identifiers_pass_their_check_digit(term: Any) -> None:
    """Verhoeff, as SNOMED CT defines it; public lists are full of invented ones."""
    assert all(verhoeff(code.value) for code in (term.code, term.site))


def verhoeff(number: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    times = [[(a + b) % 5 if a < 5 and b < 5 else 0 for b in range(10)] for a in range(10)]
    for a in range(10):
        for b in range(10):
            low, high = a % 5, b % 5
            if a < 5:
                times[a][b] = (low + high) % 5 + (5 if b >= 5 else 0)
            else:
                times[a][b] = (low - high) % 5 + (0 if b >= 5 else 5)
    permute = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    for row in range(2, 8):
        permute.append([permute[row - 1][permute[1][i]] for i in range(10)])
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = times[check][permute[place % 8][int(digit)]]
    return check == 0
