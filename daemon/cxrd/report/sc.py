"""The colour Secondary Capture of one film (PS3.3 A.8.1): its picture as a DICOM object in the film's own study."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from cxrd.findings import FilmAnalysis
from cxrd.report import codes
from cxrd.report.equipment import coded, contributing, stamp
from cxrd.report.facts import PRODUCT, ReportFacts
from cxrd.report.picture import render

SERIES_NUMBER = 9902
SHARED = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
)  # fmt: skip


def build(  # noqa: PLR0913 - what a capture is made of
    film: FilmAnalysis,
    preview: NDArray[np.uint8],
    header: Dataset,
    *,
    facts: ReportFacts,
    device_uid: str,
    sop_uid: str,
    series_uid: str,
    number: int,
    now: datetime,
) -> bytes:
    """Build one capture.

    Parameters
    ----------
    preview : uint8 (h, w)
        Display-ready film in the source's orientation.
    header : Dataset
        Header shim of the film.
    number : int
        Instance number, from 1.

    Returns
    -------
    bytes
        Part 10 file, uncompressed RGB, Explicit VR Little Endian: what every archive takes.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    made.SpecificCharacterSet = header.SpecificCharacterSet
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, UID(sop_uid)
    for keyword in SHARED:
        setattr(made, keyword, header.get(keyword, ""))
    made.SeriesInstanceUID = series_uid
    made.SeriesNumber, made.InstanceNumber = SERIES_NUMBER, number
    made.SeriesDescription = f"{PRODUCT} AI heatmap"
    made.Modality = "OT"
    made.ConversionType = "WSD"
    made.BodyPartExamined = "CHEST"  # unpaired, so that no Laterality is asked for (PS3.3 C.7.3.1)
    made.PatientOrientation = header.get("PatientOrientation", "")
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    made.BurnedInAnnotation = "YES"
    made.RecognizableVisualFeatures = "NO"
    made.DerivationDescription = "Film resampled for display, model evidence and findings drawn over and beside it"
    made.DerivationCodeSequence = [coded(codes.SPATIAL_RESAMPLING)]
    made.SourceImageSequence = [_source(film)]
    if header.get("LossyImageCompression") == "01":
        made.LossyImageCompression = "01"
    stamp(made, facts, now)
    made.ContributingEquipmentSequence = contributing(facts, device_uid, [a.model for a in film.answers])
    _put_pixels(made, render(film, preview, facts, now))
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def _source(film: FilmAnalysis) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = film.film.sop_class, film.film.sop_uid
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE)]
    return item


def _put_pixels(made: Dataset, picture: NDArray[np.uint8]) -> None:
    made.SamplesPerPixel, made.PlanarConfiguration = 3, 0
    made.PhotometricInterpretation = "RGB"
    made.Rows, made.Columns = picture.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    raw = picture.tobytes()
    made.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))
