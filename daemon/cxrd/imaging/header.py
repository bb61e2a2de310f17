"""Read a header from bytes as they really come: without preamble, without meta, with odd values."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cxrd.errors import Reason, Refused

MAX_INFLATED = 512 * 2**20
"""Bytes that a deflated object may grow to: more than the largest film that is decoded."""

META_SEARCHED = 4096
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""VRs with two reserved bytes and a length of four (PS3.5 table 7.1-1)."""


def read_header(data: bytes | Path) -> FileDataset:
    """Parse everything before the pixels.

    Parameters
    ----------
    data : bytes or Path
        Part 10 file or bare data set.

    Raises
    ------
    Refused
        UNREADABLE when it is not DICOM; TOO_LARGE when it inflates without end; MISSING_UID without SOP class, SOP
        instance or study UID.
    """
    return _read(data, stop_before_pixels=True)


def read_object(data: bytes) -> FileDataset:
    """Parse the whole object, its pixels still encoded. Raises as :func:`read_header`."""
    return _read(data, stop_before_pixels=False)


def _read(data: bytes | Path, *, stop_before_pixels: bool) -> FileDataset:
    try:
        dataset = _parsed(data, stop_before_pixels=stop_before_pixels)
        uids = [text(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
        syntax = transfer_syntax(dataset)
    except (OSError, MemoryError, Refused):
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


def _parsed(data: bytes | Path, *, stop_before_pixels: bool) -> FileDataset:
    inflated = _inflated(data)
    if inflated is not None:
        dataset = dcmread(BytesIO(inflated), force=True, stop_before_pixels=stop_before_pixels)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        return dataset
    source = BytesIO(data) if isinstance(data, bytes) else data
    return dcmread(source, force=True, stop_before_pixels=stop_before_pixels)


def _inflated(data: bytes | Path) -> bytes | None:
    """The data set of a deflated object (PS3.5 A.5), None for any other: pydicom would inflate without a limit."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            start = file.read(META_SEARCHED)
    else:
        start = data[:META_SEARCHED]
    if start[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in start:
        return None
    whole = data.read_bytes() if isinstance(data, Path) else data
    at, syntax = 132, b""
    while whole[at : at + 2] == b"\x02\x00":  # the meta information is always explicit little endian (PS3.10 7.1)
        head = 12 if whole[at + 4 : at + 6] in LONG_VRS else 8
        length = int.from_bytes(whole[at + head - (4 if head == 12 else 2) : at + head], "little")
        if whole[at : at + 4] == b"\x02\x00\x10\x00":
            syntax = whole[at + head : at + head + length].rstrip(b"\0 ")
        at += head + length
    if syntax != DeflatedExplicitVRLittleEndian.encode():
        return None
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflator.decompress(whole[at:], MAX_INFLATED)
    if inflator.unconsumed_tail:
        raise Refused(Reason.TOO_LARGE, f"the deflated object grows beyond {MAX_INFLATED} bytes")
    if not inflator.eof:
        raise Refused(Reason.UNREADABLE, "the deflated object is truncated")
    return inflated


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


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence, none when it is missing, empty, unreadable or no sequence."""
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - as in text
        return ()
    return tuple(item for item in value if isinstance(item, Dataset)) if isinstance(value, list | Sequence) else ()
