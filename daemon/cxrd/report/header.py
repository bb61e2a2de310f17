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
from cxrd.imaging.header import text

PATIENT_ID_LENGTH = 64
DATE = re.compile(r"\d{8}")
TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
SEXES = frozenset({"M", "F", "O"})


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
        The Patient ID is longer than 64 characters: cut, it would be another patient's.
    """
    encodings = _encodings(source, default_character_set)
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(made, keyword, text(source, keyword))
    patient_id = _decoded(source, "PatientID", encodings)
    if len(patient_id) > PATIENT_ID_LENGTH:
        raise HeaderError(
            f"Patient ID has {len(patient_id)} characters, at most {PATIENT_ID_LENGTH} are valid (PS3.5 LO)",
            hint="correct it at the source; cut, it would name another patient",
        )
    made.PatientID = patient_id
    made.PatientName = _name(source, "PatientName", encodings)
    made.ReferringPhysicianName = _name(source, "ReferringPhysicianName", encodings)
    for keyword, length in (("AccessionNumber", 16), ("StudyID", 16), ("StudyDescription", 64)):
        setattr(made, keyword, _decoded(source, keyword, encodings)[:length])
    for keyword in ("StudyDate", "PatientBirthDate"):
        value = text(source, keyword).replace(".", "")
        setattr(made, keyword, value if DATE.fullmatch(value) else "")
    value = text(source, "StudyTime").replace(":", "")
    made.StudyTime = value if TIME.fullmatch(value) else ""
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
