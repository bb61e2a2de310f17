"""Objects that validators and readers find nothing wrong with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom import sr
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Box, StudyAnalysis
from cxrd.imaging.header import read_header
from cxrd.report import codes
from cxrd.report.header import HeaderError, shim
from cxrd.report.sr import outline
from cxrd.vocabulary import TERMS
from support.analyses import CHARM, FACTS, NIH, OTHER, analysis, answer, finding, fourteen, previews
from support.datasets import encoded, film

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
BOTH = frozenset({ArtefactKind.SR, ArtefactKind.SC})


def build(found: StudyAnalysis, *headers: Dataset, **changes: Any) -> dict[ArtefactKind, Artefact]:
    """Every object of an analysis, the last of each kind."""
    wanted: dict[str, Any] = {"kinds": BOTH, "facts": FACTS, "now": NOW, "supersedes": None, **changes}
    sources: Mapping[str, Dataset] = {h.SOPInstanceUID: h for h in headers}
    pictures: Mapping[str, NDArray[np.uint8]] = previews(*headers)
    return {a.kind: a for a in report.build(found, sources, pictures, **wanted)}


def header(**changes: Any) -> Dataset:
    """A header as the daemon reads it from bytes."""
    return read_header(encoded(film(**changes)))


def parsed(artefact: Artefact) -> Dataset:
    """An object as a receiver sees it."""
    return dcmread(BytesIO(artefact.data))


def errors_of_dciodvfy(artefact: Artefact, folder: Path) -> list[str]:
    """What the validator calls an error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dicom3tools: apt-get install dicom3tools")
    path = folder / f"{artefact.kind}.dcm"
    path.write_bytes(artefact.data)
    found = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]


def dumped(artefact: Artefact, folder: Path) -> tuple[str, str]:
    """What dsrdump reads, and what it complains of."""
    if shutil.which("dsrdump") is None:
        pytest.skip("needs dcmtk: apt-get install dcmtk")
    path = folder / "report.dcm"
    path.write_bytes(artefact.data)
    found = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True)
    # 3.6.7 knows no UTF-8 in its VR checker and says so
    return found.stdout, "".join(line for line in found.stderr.splitlines() if "ISO_IR 192" not in line)


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
    "utf-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "王^小東"},
    "inverse": {"PhotometricInterpretation": "MONOCHROME1"},
}


@pytest.mark.parametrize("name", NAMES)
def test_no_validator_finds_an_error(tmp_path: Path, name: str) -> None:
    """Whatever the source header lacks or says."""
    source = header(**NAMES[name])
    made = build(analysis(source), source)
    assert {kind: [] for kind in BOTH} == {kind: errors_of_dciodvfy(made[kind], tmp_path) for kind in BOTH}
    text, complaints = dumped(made[ArtefactKind.SR], tmp_path)
    assert "" == complaints
    assert "Imaging Measurement Report" in text


@pytest.mark.parametrize("name", ["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "SIIM_"])
def test_real_headers_make_valid_objects(films: Path, tmp_path: Path, name: str) -> None:
    """No preamble, blank tags, an age without its unit."""
    (path,) = (films / "dicom").glob(f"{name}*")
    source = read_header(path)
    made = build(analysis(source), source)
    assert {kind: [] for kind in BOTH} == {kind: errors_of_dciodvfy(made[kind], tmp_path) for kind in BOTH}


@pytest.mark.parametrize("name", ["german", "greek", "cyrillic", "japanese", "utf-8"])
def test_names_survive(name: str) -> None:
    """In the same letters, in every object."""
    source = header(**NAMES[name])
    for artefact in build(analysis(source), source).values():
        assert NAMES[name]["PatientName"] == str(parsed(artefact).PatientName).rstrip("^")


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
    text, _ = dumped(artefact, tmp_path)
    lines = [line for line in text.splitlines() if '(,,"Finding")' in line]
    return [line.split('"')[-2] for line in lines]


def test_an_absent_disease_is_never_named_as_a_finding(tmp_path: Path) -> None:
    """A viewer that ignores answers shows the present one and nothing else."""
    source = header()
    made = build(analysis(source), source)[ArtefactKind.SR]
    assert ["Pneumonia"] == findings_in(made, tmp_path)
    text, _ = dumped(made, tmp_path)
    assert [12, 1] == [text.count(f'"{word}")>') for word in ("Absent", "Undetermined")]


def test_nothing_found_is_said_and_not_left_out(tmp_path: Path) -> None:
    """No Finding item, and an answer for every class."""
    source = header()
    quiet = analysis(source, answers=(answer(CHARM, *fourteen()),))
    made = build(quiet, source)[ArtefactKind.SR]
    assert [] == findings_in(made, tmp_path)
    text, _ = dumped(made, tmp_path)
    assert len(NIH) - 1 == text.count('"Absent")>')


def test_normality_is_an_answer_and_not_a_disease(tmp_path: Path) -> None:
    """The classes "none" and "other" of a model never become Finding items."""
    source = header()
    said = answer(OTHER, finding("none", Answer.PRESENT), finding("other", Answer.ABSENT))
    made = build(analysis(source, answers=(said,)), source)[ArtefactKind.SR]
    assert [] == findings_in(made, tmp_path)
    assert '"Standard chest X-ray normal")=(52101004,SCT,"Present")' in dumped(made, tmp_path)[0]


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


def test_the_report_points_to_its_picture_and_its_film() -> None:
    """Evidence names both; the finding's visual explanation is the capture."""
    source = header()
    made = build(analysis(source), source)
    found = parsed(made[ArtefactKind.SR])
    named = {
        item.ReferencedSOPInstanceUID
        for study in found.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {source.SOPInstanceUID, made[ArtefactKind.SC].sop_uid} == named


def test_equipment_says_the_same_everywhere(tmp_path: Path) -> None:
    """IHE AIR: model name, version and device UID equal the algorithm's and the observer's."""
    source = header()
    two = analysis(source, answers=(answer(CHARM, *fourteen()), answer(OTHER, finding("none", Answer.PRESENT))))
    found = parsed(build(two, source)[ArtefactKind.SR])
    items = found.ContributingEquipmentSequence
    names = [(item.ManufacturerModelName, item.SoftwareVersions) for item in items]
    assert [("cxrd", "0.1.0"), ("charm", "1.0.0"), ("deit_scm", "2.1.0")] == names
    assert 3 == len({item.DeviceUID for item in items})
    text, _ = dumped(build(two, source)[ArtefactKind.SR], tmp_path)
    assert items[0].DeviceUID in text
    retrained = analysis(source, answers=(answer(CHARM.model_copy(update={"digest": "ef" * 32}), *fourteen()),))
    other = parsed(build(retrained, source)[ArtefactKind.SR]).ContributingEquipmentSequence[1]
    assert items[1].DeviceUID != other.DeviceUID


def test_research_use_is_stated_until_a_site_turns_it_off(tmp_path: Path) -> None:
    """In the report's text and in the picture's banner."""
    source = header()
    loud = build(analysis(source), source)
    text, _ = dumped(loud[ArtefactKind.SR], tmp_path)
    assert "Research use only" in text
    settled = FACTS.__class__(**{**{k: getattr(FACTS, k) for k in FACTS.__slots__}, "research_use": False})
    quiet = build(analysis(source), source, facts=settled)
    assert "Research use" not in dumped(quiet[ArtefactKind.SR], tmp_path)[0]
    assert loud[ArtefactKind.SC].data != quiet[ArtefactKind.SC].data


def test_a_new_report_names_the_one_it_replaces(tmp_path: Path) -> None:
    """Predecessor, with its purpose, and still valid."""
    source = header()
    made = build(analysis(source), source, supersedes=("1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34"))[ArtefactKind.SR]
    (study,) = parsed(made).PredecessorDocumentsSequence
    assert "1.2.3.4" == study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert [] == errors_of_dciodvfy(made, tmp_path)


def test_a_study_of_two_films_is_one_report_and_two_captures(tmp_path: Path) -> None:
    """Each film has its own picture; the report speaks of both."""
    one, two = header(), header()
    two.StudyInstanceUID = one.StudyInstanceUID
    made = report.build(
        analysis(one, two),
        {h.SOPInstanceUID: h for h in (one, two)},
        previews(one, two),
        kinds=BOTH,
        facts=FACTS,
        now=NOW,
        supersedes=None,
    )
    assert ["sc", "sc", "sr"] == [a.kind for a in made]
    assert 3 == len({a.sop_uid for a in made})
    assert [] == errors_of_dciodvfy(made[2], tmp_path)


def test_the_older_class_carries_the_same_content(tmp_path: Path) -> None:
    """For archives that do not know Comprehensive 3D SR."""
    source = header()
    older = FACTS.__class__(**{**{k: getattr(FACTS, k) for k in FACTS.__slots__}, "sr_class": "comprehensive"})
    made = build(analysis(source), source, facts=older)[ArtefactKind.SR]
    assert "1.2.840.10008.5.1.4.1.1.88.33" == made.sop_class == parsed(made).SOPClassUID
    assert [] == errors_of_dciodvfy(made, tmp_path)


def test_a_patient_id_that_cannot_be_written_is_not_cut() -> None:
    """Cut, it would be another patient."""
    source = film()
    source.PatientID = "X" * 65
    with pytest.raises(HeaderError, match="65 characters"):
        shim(source, "ISO_IR 100")


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


def test_a_box_is_kept_inside_its_film() -> None:
    """Closed, clipped, in column and row."""
    corners = outline(Box(left=-5, top=10, right=300, bottom=20), rows=100, columns=200)
    np.testing.assert_array_equal([[0, 10], [200, 10], [200, 20], [0, 20], [0, 10]], corners)
