"""Read a header from bytes as they really come: without preamble, without meta, with odd values."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cxrd.errors import Reason, Refused


def read_header(data: bytes | Path) -> FileDataset:
    """Parse everything before the pixels.

    Parameters
    ----------
    data : bytes or Path
        Part 10 file or bare data set.

    Raises
    ------
    Refused
        UNREADABLE when it is not DICOM; MISSING_UID without SOP class, SOP instance or study UID.
    """
    return _read(data, stop_before_pixels=True)


def read_object(data: bytes) -> FileDataset:
    """Parse the whole object, its pixels still encoded. Raises as :func:`read_header`."""
    return _read(data, stop_before_pixels=False)


def _read(data: bytes | Path, *, stop_before_pixels: bool) -> FileDataset:
    source = BytesIO(data) if isinstance(data, bytes) else data
    try:
        dataset = dcmread(source, force=True, stop_before_pixels=stop_before_pixels)
        uids = [text(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
        syntax = transfer_syntax(dataset)
    except OSError:
        raise
    except Exception as error:
        raise Refused(Reason.UNREADABLE, f"not readable as DICOM: {type(error).__name__}") from error
    if not any(uids):
        raise Refused(Reason.UNREADABLE, "not a DICOM object: no SOP class, SOP instance or study UID")
    if not all(uids):
        raise Refused(Reason.MISSING_UID, "SOP Class, SOP Instance or Study Instance UID is missing")
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def transfer_syntax(dataset: Dataset) -> UID:
    """Encoding of an object; from how it parsed where no meta information names it (PS3.10 7.1)."""
    named = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID", "")
    if named:
        return UID(named)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def text(dataset: Dataset, keyword: str) -> str:
    """A value as stripped text, "" when missing, blank or unreadable; several values joined by a backslash."""
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts lazily, and a value that cannot be converted tells nothing
        return ""
    if value is None:
        return ""
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return str(value).strip("\0 ")
    return "\\".join(str(v).strip("\0 ") for v in value)
