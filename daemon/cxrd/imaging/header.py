"""Read a header from bytes as they really come: without preamble, without meta, with odd values."""

from __future__ import annotations

import zlib
from collections.abc import Sequence as Several
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
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

MAX_HEADER = 16 * 2**20
"""Bytes to which a deflated object is inflated where only its header is asked for."""

MAX_ITEMS = 20_000
"""Items of sequences, and fragments, above which an object is a bomb: eight bytes each, and a thousand here."""

ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""The item tag (FFFE,E000) in either byte order."""

PIXELS = frozenset(Tag(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
UNDEFINED = 0xFFFFFFFF
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
        UNREADABLE when it is not DICOM; TOO_LARGE when it inflates without end, or has items without end; MISSING_UID
        without SOP class, SOP instance or study UID.
    """
    return _identified(data.read_bytes() if isinstance(data, Path) else data, header_only=True)


def read_object(data: bytes) -> FileDataset:
    """Parse the whole object, its pixels still encoded. Raises as :func:`read_header`."""
    return _identified(data, header_only=False)


def read_elements(data: bytes, keywords: Several[str]) -> FileDataset:
    """Parse a few elements before the pixels, whatever else there is or is not.

    Raises
    ------
    Refused
        UNREADABLE or TOO_LARGE, as :func:`read_header`.
    """
    return _parsed(data, header_only=True, keywords=keywords)


def _identified(data: bytes, *, header_only: bool) -> FileDataset:
    dataset = _parsed(data, header_only=header_only)
    uids = [text(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
    if not any(uids):
        raise Refused(Reason.UNREADABLE, "not a DICOM object: no SOP class, SOP instance or study UID")
    if not all(uids):
        raise Refused(Reason.MISSING_UID, "SOP Class, SOP Instance or Study Instance UID is missing")
    return dataset


def _parsed(data: bytes, *, header_only: bool, keywords: Several[str] | None = None) -> FileDataset:
    """What pydicom makes of an object, which must not cost more memory than a film may."""
    inflated = _inflated(data, MAX_HEADER if header_only else MAX_INFLATED)
    source = data if inflated is None else inflated

    def stop(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            return header_only
        if length == UNDEFINED:  # pydicom makes each of its items at once; those of a known length it leaves alone
            check_items(source)
        return False

    buffer = BytesIO(source)
    tags: list[BaseTag | int] | None = [Tag(keyword) for keyword in keywords] if keywords else None
    try:
        dataset = read_partial(buffer, stop, force=True, specific_tags=tags)
        syntax = DeflatedExplicitVRLittleEndian if inflated is not None else transfer_syntax(dataset)
    except (MemoryError, Refused):
        raise
    except Exception as error:
        raise Refused(Reason.UNREADABLE, f"not readable as DICOM: {type(error).__name__}") from error
    if inflated is not None and len(inflated) == MAX_HEADER <= buffer.tell():
        raise Refused(Reason.TOO_LARGE, f"the header of the deflated object grows beyond {MAX_HEADER} bytes")
    if not hasattr(dataset, "file_meta") or inflated is not None:
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def check_items(data: bytes) -> None:
    """Refuse items or fragments without end, TOO_LARGE."""
    if sum(map(data.count, ITEMS)) > MAX_ITEMS:
        raise Refused(Reason.TOO_LARGE, f"more than {MAX_ITEMS} sequence items or fragments")


def _inflated(data: bytes, limit: int) -> bytes | None:
    """The data set of a deflated object (PS3.5 A.5), None for any other: pydicom would inflate without a limit.

    Raises
    ------
    Refused
        TOO_LARGE above :data:`MAX_INFLATED`; a lower limit only cuts. UNREADABLE when it ends too early.
    """
    start = data[:META_SEARCHED]
    if start[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in start:
        return None
    at, syntax = 132, b""
    while data[at : at + 2] == b"\x02\x00":  # the meta information is always explicit little endian (PS3.10 7.1)
        head = 12 if data[at + 4 : at + 6] in LONG_VRS else 8
        length = int.from_bytes(data[at + head - (4 if head == 12 else 2) : at + head], "little")
        if data[at : at + 4] == b"\x02\x00\x10\x00":
            syntax = data[at + head : at + head + length].rstrip(b"\0 ")
        at += head + length
    if syntax != DeflatedExplicitVRLittleEndian.encode():
        return None
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflator.decompress(data[at:], limit)
    except zlib.error as error:
        raise Refused(Reason.UNREADABLE, "the deflated object is damaged") from error
    if inflator.unconsumed_tail and limit == MAX_INFLATED:
        raise Refused(Reason.TOO_LARGE, f"the deflated object grows beyond {MAX_INFLATED} bytes")
    if not inflator.unconsumed_tail and not inflator.eof:
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
    """Items of a sequence, none when it is missing, empty, unreadable or no sequence.

    Raises
    ------
    Refused
        TOO_LARGE: it has items without end.
    """
    raw = dataset.get_item(keyword) if keyword in dataset else None
    if raw is not None and isinstance(raw.value, bytes):  # pydicom has not read it yet
        check_items(raw.value)
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - as in text
        return ()
    return tuple(item for item in value if isinstance(item, Dataset)) if isinstance(value, list | Sequence) else ()
