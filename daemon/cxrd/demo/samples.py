"""Synthetic studies to send: phantom films as DICOM objects, with one that must be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from types import MappingProxyType
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from cxrd.demo.phantom import Anatomy, Opacity, film

WHITE = 4095


@dataclass(frozen=True, slots=True)
class Sample:
    """One synthetic study.

    Attributes
    ----------
    inverse : bool
        Stored as MONOCHROME1 in a CR object, as half of real films are.
    view : str
        View Position.
    """

    anatomy: Anatomy
    view: str = "PA"
    inverse: bool = False


SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "normal": Sample(Anatomy()),
        "opacity": Sample(Anatomy(opacities=(Opacity(-0.47, 0.60, 0.20), Opacity(-0.36, 0.50, 0.12, 0.6)))),
        "large_heart": Sample(Anatomy(heart=0.62, effusion=0.25), view="AP"),
        "inverse": Sample(Anatomy(opacities=(Opacity(0.50, 0.30, 0.16),)), inverse=True),
        "lateral": Sample(Anatomy(), view="LL"),
    }
)


def samples(salt: str, *, rows: int = 2048, now: datetime | None = None) -> dict[str, bytes]:
    """Every sample study as a Part 10 file.

    Parameters
    ----------
    salt : str
        Makes the UIDs; another salt is another hospital.
    rows : int
        Height of the films; smaller ones are for tests.
    now : datetime or None
        Date of the studies.
    """
    taken = now or datetime.now(UTC)
    return {
        name: encode(sample, film(sample.anatomy, rows=rows, columns=rows * 7 // 8, seed=number), name, salt, taken)
        for number, (name, sample) in enumerate(SAMPLES.items())
    }


def encode(sample: Sample, pixels: NDArray[np.uint16], name: str, salt: str, taken: datetime) -> bytes:
    """One film as a valid DX or CR object of a patient who never was."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = ComputedRadiographyImageStorage if sample.inverse else DigitalXRayImageStorageForPresentation
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, f"2.25.{uuid5(NAMESPACE_OID, f'cxrd phantom {salt} {name} {keyword}').int}")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _patient(dataset, name, salt, taken)
    _equipment(dataset, sample)
    _image(dataset, sample, pixels)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _patient(dataset: Dataset, name: str, salt: str, taken: datetime) -> None:
    dataset.PatientName = f"PHANTOM^{name.upper()}"
    dataset.PatientID = f"PHANTOM-{name.upper()[:12]}"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.PatientAge = f"{taken.year - 1970:03d}Y"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = taken.strftime("%Y%m%d")
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = taken.strftime("%H%M%S")
    dataset.AccessionNumber = f"{uuid5(NAMESPACE_OID, salt + name).int % 10**10:010d}"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, 1
    dataset.StudyDescription, dataset.SeriesDescription = "Synthetic chest", "Phantom"
    dataset.ReferringPhysicianName = ""


def _equipment(dataset: Dataset, sample: Sample) -> None:
    dataset.Manufacturer, dataset.ManufacturerModelName = "cxrd", "phantom"
    dataset.Modality = "CR" if sample.inverse else "DX"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = sample.view
    dataset.PatientOrientation = ["A", "F"] if sample.view == "LL" else ["L", "F"]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    if sample.inverse:
        return
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "816094009", "SCT", "Chest"
    dataset.AnatomicRegionSequence = [region]
    dataset.DetectorType, dataset.PositionerType = "DIRECT", ""
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.AcquisitionContextSequence = []
    dataset.AcquisitionDeviceProcessingDescription = "phantom"


def _image(dataset: Dataset, sample: Sample, pixels: NDArray[np.uint16]) -> None:
    stored = WHITE - pixels if sample.inverse else pixels
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if sample.inverse else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.add_new("PixelData", "OW", stored.astype("<u2").tobytes())
