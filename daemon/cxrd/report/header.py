"""The header shim: what a derived object may take from its source, made valid first.

Libraries that write derived objects trust the source header, and real ones lack type-2 tags, carry ages as ``62`` and
names in character sets that cannot be written back. So they never see it: they see this.
"""

from __future__ import annotations

import re

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

from cxrd.errors import CxrdError
from cxrd.imaging.header import items, text

PATIENT_ID_LENGTH = 64
ACCESSION_LENGTH = 16
"""Characters of LO and of SH (PS3.5 table 6.2-1)."""
DATE = re.compile(r"\d{8}")
TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
SEXES = frozenset({"M", "F", "O"})

QUALIFIERS = (
    "UniversalEntityID", "UniversalEntityIDType", "IdentifierTypeCode", "LocalNamespaceEntityID",
    "CodeValue", "CodingSchemeDesignator", "CodeMeaning",
)  # fmt: skip
QUALIFIER_SEQUENCES = (
    "AssigningFacilitySequence", "AssigningJurisdictionCodeSequence", "AssigningAgencyOrDepartmentCodeSequence",
)  # fmt: skip
"""What says who gave out a Patient ID (PS3.3 table 10-18), with what its items hold."""


ESCAPE = re.compile(r"\x1b[ -/]*[0-~]")
"""An escape sequence of ISO 2022: pydicom leaves those of GB 2312 (ISO 2022 IR 58) among the letters."""


class HeaderError(CxrdError):
    """The source header names a patient that no valid object can carry."""


def shim(source: Dataset, default_character_set: str) -> Dataset:
    """Copy the patient, study and image facts of a source into a valid header.

    Parameters
    ----------
    source : Dataset
        Header as received.
    default_character_set : str
        Read text by this where the source names none.

    Returns
    -------
    Dataset
        UTF-8 (ISO_IR 192); the nine type-2 fields always there, blank where the source's value is missing or malformed.

    Raises
    ------
    HeaderError
        The Patient ID or its issuer is longer than 64 characters: cut, it would be another patient's.
    """
    encodings = _encodings(source, default_character_set)
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(made, keyword, text(source, keyword))
    _identify(made, source, encodings)
    made.PatientName = _name(source, "PatientName", encodings)
    made.ReferringPhysicianName = _name(source, "ReferringPhysicianName", encodings)
    accession = accession_number(source, default_character_set)
    made.AccessionNumber = accession if len(accession) <= ACCESSION_LENGTH else ""  # cut, it would be another order's
    for keyword, length in (("StudyID", 16), ("StudyDescription", 64)):
        setattr(made, keyword, _decoded(source, keyword, encodings)[:length])
    for keyword in ("StudyDate", "PatientBirthDate"):
        value = text(source, keyword).replace(".", "")
        setattr(made, keyword, value if DATE.fullmatch(value) else "")
    value = text(source, "StudyTime").replace(":", "")
    made.StudyTime = value if TIME.fullmatch(value) else ""
    if ZONE.fullmatch(zone := text(source, "TimezoneOffsetFromUTC")):
        made.TimezoneOffsetFromUTC = zone
    sex = text(source, "PatientSex").upper()
    made.PatientSex = sex if sex in SEXES else ""
    made.Modality = text(source, "Modality") or "OT"
    for keyword in ("Rows", "Columns"):
        setattr(made, keyword, int(source.get(keyword) or 0))
    made.BodyPartExamined = "CHEST"
    orientation = text(source, "PatientOrientation").split("\\")
    if len(orientation) == 2 and all(orientation):
        made.PatientOrientation = orientation
    if text(source, "LossyImageCompression") == "01":
        made.LossyImageCompression = "01"
    return made


def accession_number(source: Dataset, default_character_set: str) -> str:
    """The Accession Number as the source has it, however long; parameters as of :func:`shim`."""
    return _decoded(source, "AccessionNumber", _encodings(source, default_character_set))


def _identify(made: Dataset, source: Dataset, encodings: list[str]) -> None:
    """Copy who the patient is: an identifier is one only together with its issuer."""
    for keyword, name in (("PatientID", "Patient ID"), ("IssuerOfPatientID", "Issuer of Patient ID")):
        value = _decoded(source, keyword, encodings)
        if len(value) > PATIENT_ID_LENGTH:
            raise HeaderError(
                f"{name} has {len(value)} characters, at most {PATIENT_ID_LENGTH} are valid (PS3.5 LO)",
                hint="correct it at the source; cut, it would name another patient",
            )
        if value or keyword == "PatientID":  # type 2, and type 3
            setattr(made, keyword, value)
    qualifiers = _qualifiers(source, "IssuerOfPatientIDQualifiersSequence", encodings)
    if qualifiers:
        made.IssuerOfPatientIDQualifiersSequence = qualifiers


def _qualifiers(source: Dataset, keyword: str, encodings: list[str]) -> list[Dataset]:
    """A sequence of the issuer with what the standard knows of its items; its first item, for it may have one."""
    made = Dataset()
    for item in items(source, keyword)[:1]:
        for known in QUALIFIERS:
            if value := _decoded(item, known, encodings):
                setattr(made, known, value)
        for known in QUALIFIER_SEQUENCES:
            if inner := _qualifiers(item, known, encodings):
                setattr(made, known, inner)
    return [made] if len(made) else []


def _encodings(source: Dataset, default: str) -> list[str]:
    named = [t for t in text(source, "SpecificCharacterSet").split("\\") if t]
    try:
        return list(convert_encodings(named or [default]))
    except (LookupError, ValueError):
        return list(convert_encodings([default]))


def _decoded(source: Dataset, keyword: str, encodings: list[str]) -> str:
    """Text of an element by the encodings that hold for it, however pydicom would have read it."""
    if keyword not in source:
        return ""
    raw = source.get_item(keyword)
    value = raw.value if raw is not None else None
    if isinstance(value, bytes):
        try:
            return ESCAPE.sub("", str(decode_bytes(value, encodings, TEXT_VR_DELIMS))).strip("\0 ")
        except (LookupError, UnicodeError):
            return value.decode("ascii", "replace").strip("\0 ")
    return text(source, keyword)


def _name(source: Dataset, keyword: str, encodings: list[str]) -> str:
    """A person's name, with no more and no fewer delimiters than the source has: archives compare letter by letter."""
    if keyword not in source:
        return ""
    raw = source.get_item(keyword)
    value = raw.value if raw is not None else None
    if isinstance(value, bytes):
        try:
            value = str(PersonName(value.strip(b"\0 "), encodings).decode())
        except (LookupError, UnicodeError):
            value = value.decode("ascii", "replace")
    return ESCAPE.sub("", str(value or "")).strip("\0 ")
