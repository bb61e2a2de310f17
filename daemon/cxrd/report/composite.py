"""What every composite object carries alike: patient, study, series, equipment (PS3.3 A.1.2), and its Part 10 file."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code as Concept
from pydicom.uid import UID, ExplicitVRLittleEndian

from cxrd.findings import FilmRef, ModelRef
from cxrd.report import codes
from cxrd.report.equipment import coded, contributing, private_scheme, stamp
from cxrd.report.facts import RESEARCH_USE
from cxrd.report.products import Film, Imprint

SHARED = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
)  # fmt: skip

SHARED_WHERE_KNOWN = ("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence")


def begin(imprint: Imprint, header: Dataset, models: Sequence[ModelRef]) -> Dataset:
    """Start an object in the patient's own study.

    Parameters
    ----------
    header : Dataset
        Shim of a source film.
    models : sequence of ModelRef
        Whose answers the object shows.

    Returns
    -------
    Dataset
        With SOP common, patient, study, series and equipment modules.
    """
    made = Dataset()
    made.SpecificCharacterSet = header.SpecificCharacterSet
    made.SOPClassUID, made.SOPInstanceUID = imprint.product.sop_class, UID(imprint.sop_uid)
    for keyword in SHARED:
        setattr(made, keyword, header.get(keyword, ""))
    for keyword in SHARED_WHERE_KNOWN:
        if keyword in header:
            made[keyword] = deepcopy(header[keyword])
    made.SeriesInstanceUID = imprint.series_uid
    made.SeriesNumber, made.InstanceNumber = imprint.product.series_number, imprint.number
    made.SeriesDescription = imprint.product.series_description
    made.Modality = imprint.product.modality
    made.BodyPartExamined = "CHEST"  # unpaired, so that no Laterality is asked for (PS3.3 C.7.3.1)
    stamp(made, imprint.facts, _in_zone_of(header, imprint.now))
    made.ContributingEquipmentSequence = contributing(imprint.facts, imprint.device_uid, models)
    return made


def _in_zone_of(header: Dataset, now: datetime) -> datetime:
    """Our time in the zone that the film states: one offset holds for all times of an object, the study's too."""
    zone = header.get("TimezoneOffsetFromUTC")
    return now.astimezone(datetime.strptime(zone, "%z").tzinfo) if zone else now


def name_content(made: Dataset, imprint: Imprint, label: str, description: str) -> None:
    """Label and describe content (PS3.3 table 10-12); research use takes the description's place."""
    made.ContentLabel = label
    made.ContentDescription = RESEARCH_USE if imprint.facts.research_use else description
    made.ContentCreatorName = ""


def from_film(film: FilmRef, purpose: Concept = codes.SOURCE_IMAGE) -> Dataset:
    """Item of Source Image Sequence (PS3.3 table 10-3) with its purpose."""
    item = referring(film.sop_class, film.sop_uid)
    item.PurposeOfReferenceCodeSequence = [coded(purpose)]
    return item


def referring(sop_class: str, sop_uid: str) -> Dataset:
    """SOP Instance Reference Macro (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    return item


def in_series(film: Film, keyword: str) -> Dataset:
    """Item of Referenced Series Sequence that names one film, under ``keyword``."""
    series = Dataset()
    series.SeriesInstanceUID = film.header.SeriesInstanceUID
    setattr(series, keyword, [referring(film.found.film.sop_class, film.found.film.sop_uid)])
    return series


def identify_private_codes(made: Dataset, *used: Any) -> None:
    """Say whose scheme 99CXRD is where one of the codes used is of it (PS3.3 C.12.1)."""
    if any(codes.uses_private_scheme(code) for code in used):
        made.CodingSchemeIdentificationSequence = [private_scheme()]


def encode(made: Dataset) -> bytes:
    """Part 10 file in Explicit VR Little Endian: what every archive takes."""
    meta = made.file_meta if hasattr(made, "file_meta") else FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
