"""Small DICOM objects, built for tests; nothing here was ever a patient."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def film(*, rows: int = 256, columns: int = 224, **changes: Any) -> Dataset:
    """A valid frontal CR of a bright disc on black; ``changes`` set elements, None removes one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = CR
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    for keyword in (
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PatientBirthDate",
        "SeriesNumber",
        "InstanceNumber",
    ):
        setattr(dataset, keyword, "")
    dataset.PatientName = "TEST^FILM"
    dataset.PatientID = "T-1"
    dataset.PatientSex = "O"
    dataset.StudyDate, dataset.StudyTime = "20260102", "101112"
    dataset.Modality = "CR"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    y, x = np.mgrid[:rows, :columns]
    disc = ((y - rows / 2) ** 2 + (x - columns / 2) ** 2) < (min(rows, columns) / 3) ** 2
    pixels(dataset, np.where(disc, 3000, 500).astype(np.uint16), bits_stored=12)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def pixels(
    dataset: Dataset, array: np.ndarray[Any, Any], *, bits_stored: int, photometric: str = "MONOCHROME2"
) -> None:
    """Put native pixels of an integer array (rows, columns) or (rows, columns, 3) into a dataset."""
    dataset.Rows, dataset.Columns = array.shape[:2]
    dataset.SamplesPerPixel = 1 if array.ndim == 2 else array.shape[2]
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = array.dtype.itemsize * 8
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    dataset.add_new("PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", array.tobytes())


def encoded(dataset: Dataset) -> bytes:
    """A Part 10 file."""
    buffer = BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
