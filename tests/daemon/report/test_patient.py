"""Whose a result is: identifiers reach it whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from cxrd.findings import ArtefactKind
from cxrd.report.header import HeaderError, shim
from support.analyses import analysis
from support.datasets import film
from support.objects import ALL, build, header, parsed
from support.validators import complaints, dsrdump


def test_no_report_speaks_of_two_patients() -> None:
    """Whatever came before: under one of the two names it would be wrong for the other."""
    one, two = header(PatientID="A-1"), header(PatientID="B-1")
    two.StudyInstanceUID = one.StudyInstanceUID
    with pytest.raises(HeaderError, match="different patients"):
        build(analysis(one, two), one, two)


def test_a_report_names_the_patient_that_any_of_its_films_names() -> None:
    """A console left the first film blank: the report would lie in the study and be nobody's."""
    blank, named = header(PatientID="", PatientName="", AccessionNumber=""), header(AccessionNumber="A-17")
    named.StudyInstanceUID = blank.StudyInstanceUID
    made = build(analysis(blank, named), blank, named)
    for kind in (kind for kind in ArtefactKind if kind.is_report):
        report = parsed(made[kind])
        assert ("T-1", "TEST^FILM", "A-17") == (report.PatientID, report.PatientName, report.AccessionNumber)


def test_a_patient_id_that_cannot_be_written_is_not_cut() -> None:
    """Cut, it would be another patient."""
    source = film()
    source.PatientID = "X" * 65
    with pytest.raises(HeaderError, match="65 characters"):
        shim(source, "ISO_IR 100")


def test_an_accession_number_that_cannot_be_written_is_not_cut(tmp_path: Path) -> None:
    """Cut, it may be another order's: it is left blank, and the report quotes it."""
    number = "RADIOLOGY-2026-000017-1"
    source = header(AccessionNumber=number)
    made = build(analysis(source), source)
    reports = [kind for kind in ArtefactKind if kind.is_report]
    assert {""} == {parsed(artefact).AccessionNumber for artefact in made.values()}
    assert {kind: [] for kind in ALL} == {kind: complaints(made[kind], tmp_path) for kind in ALL}
    assert [True] * len(reports) == [number in dsrdump(made[kind], tmp_path)[0] for kind in reports]
    longest = header(AccessionNumber="A" * 16)
    assert {"A" * 16} == {parsed(a).AccessionNumber for a in build(analysis(longest), longest).values()}


def issued() -> Dataset:
    """Who gave a Patient ID out (PS3.3 table 10-18), in letters beyond ASCII."""
    facility, made = Dataset(), Dataset()
    facility.LocalNamespaceEntityID, facility.UniversalEntityID = "Köln Süd", "1.2.3.4"
    facility.UniversalEntityIDType = "ISO"
    made.UniversalEntityID, made.UniversalEntityIDType, made.IdentifierTypeCode = "1.2.3", "ISO", "PI"
    made.AssigningFacilitySequence = [facility]
    return made


def test_a_patient_id_keeps_its_issuer(tmp_path: Path) -> None:
    """In every object: the same number of another hospital is another patient."""
    source = header(IssuerOfPatientID="Köln", IssuerOfPatientIDQualifiersSequence=[issued()])
    made = build(analysis(source), source)
    for artefact in made.values():
        assert "Köln" == parsed(artefact).IssuerOfPatientID
        assert [issued()] == list(parsed(artefact).IssuerOfPatientIDQualifiersSequence)
    assert {kind: [] for kind in ALL} == {kind: complaints(made[kind], tmp_path) for kind in ALL}
    plain = header()
    assert all("IssuerOfPatientID" not in parsed(a) for a in build(analysis(plain), plain).values())
    with pytest.raises(HeaderError, match="Issuer of Patient ID has 65"):
        shim(film(IssuerOfPatientID="X" * 65), "ISO_IR 100")
