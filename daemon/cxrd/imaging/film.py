"""Any film file as a DICOM Part 10 object, so that PNG and JPEG films go the one way that DICOM films go."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from cxrd.errors import Reason, Refused
from cxrd.imaging.header import read_header, text
from cxrd.imaging.stored import MAX_PIXELS

SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff")
GREY_TOLERANCE = 6
"""Largest difference between channels, of 255, that JPEG chroma leaves on a grey film."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow has no argument for it; its own limit is lower, and only warns


def is_picture(data: bytes) -> bool:
    """Whether a file is PNG or JPEG, which have no UID."""
    return data.startswith(SIGNATURES)


def as_dicom(data: bytes, name: str) -> bytes:
    """Wrap a PNG or JPEG as a Secondary Capture; give a bare data set its meta information; pass Part 10 unchanged.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        For messages.

    Returns
    -------
    bytes
        A Part 10 file. UIDs of a wrapped film are derived from its bytes, so the same picture is always the same
        study. A colour picture stays in colour, and admission refuses it.

    Raises
    ------
    Refused
        UNREADABLE: the picture cannot be decoded, or the file is neither picture nor DICOM. MISSING_UID, TOO_LARGE.
    """
    if not is_picture(data):
        return data if data[128:132] == b"DICM" else _with_meta(data)
    try:
        with Image.open(BytesIO(data)) as image:
            _check_size(image, name)
            pixels = _pixels(ImageOps.exif_transpose(image))
    except (MemoryError, Refused):
        raise
    except Image.DecompressionBombError as error:
        raise Refused(Reason.TOO_LARGE, f"{name} is larger than the limit of {MAX_PIXELS} pixels") from error
    except Exception as error:
        raise Refused(Reason.UNREADABLE, f"{name} cannot be read as a picture: {type(error).__name__}") from error
    return _wrapped(pixels, sha256(data).hexdigest())


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{name} is larger than the limit of {MAX_PIXELS} pixels")


def _with_meta(data: bytes) -> bytes:
    """A bare data set as a Part 10 file: its bytes as they are, behind the meta information that they lack."""
    header = read_header(data)
    start = bytes(128) + b"DICM"
    if data.startswith(b"\x02\x00"):
        return start + data
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(text(header, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(text(header, "SOPInstanceUID"))
    meta.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return start + buffer.getvalue() + data


def _pixels(image: Image.Image) -> NDArray[np.unsignedinteger]:
    """Grey (rows, columns) of 8 or 16 bit, or colour (rows, columns, 3) of 8 bit."""
    if image.mode.startswith("I"):
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    if image.mode in {"L", "1"}:
        return np.asarray(image.convert("L"))
    colour = np.asarray(image.convert("RGB"))
    spread = colour.max(axis=2).astype(np.int16) - colour.min(axis=2)
    return np.asarray(image.convert("L")) if np.percentile(spread, 99) <= GREY_TOLERANCE else colour


def _wrapped(pixels: NDArray[np.unsignedinteger], digest: str) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    for keyword, purpose in (("SOPInstanceUID", "i"), ("SeriesInstanceUID", "e"), ("StudyInstanceUID", "s")):
        number = int(sha256(f"{purpose}{digest}".encode()).hexdigest()[:30], 16)
        setattr(dataset, keyword, UID(f"2.25.{number}"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword in (
        "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientID",
        "PatientBirthDate", "PatientSex", "SeriesNumber", "InstanceNumber", "PatientOrientation",
    ):  # fmt: skip
        setattr(dataset, keyword, "")
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    rows, columns, *samples = pixels.shape
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel = samples[0] if samples else 1
    dataset.PhotometricInterpretation = "RGB" if samples else "MONOCHROME2"
    if samples:
        dataset.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    raw = pixels.tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", raw + b"\0" * (len(raw) % 2))
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
