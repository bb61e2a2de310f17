"""From an object to its stored pixel values: declared sizes checked first, then the decoder of its transfer syntax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxrd.errors import Reason, Refused
from cxrd.imaging.codecs import NATIVE, PLUGINS, plugin
from cxrd.imaging.codestream import matrix
from cxrd.imaging.display import number
from cxrd.imaging.header import check_items, text

MAX_PIXELS = 100_000_000
"""Declared pixels above which an object is a bomb and not a film (the largest detectors have 30 million)."""

PIXELS_PER_BIT = 500
"""Pixels for each bit of a codestream above which it holds no film: black films of real encoders have fewer."""

Raw = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Stored:
    """Pixel cells as decoded.

    Attributes
    ----------
    cells : integer (rows, columns)
        Whole cells of 8, 16 or 32 bit, whatever lies in their unused bits.
    bits, shift : int
        Bits Stored, and how many bits lie below them.
    signed : bool
        Pixel Representation is two's complement.
    padding : tuple of (int, int) or None
        Lowest and highest *cell* that is padding (C.7.5.1.1.2).
    """

    cells: Raw
    bits: int
    shift: int
    signed: bool
    padding: tuple[int, int] | None

    def values(self, cells: Raw) -> NDArray[np.float64]:
        """Pixel values of cells: without the bits where old systems kept overlays, sign extended (PS3.5 8.1.1)."""
        spare = 64 - self.bits
        lifted = np.left_shift(np.right_shift(cells.astype(np.int64), self.shift), spare)
        if self.signed:
            return np.right_shift(lifted, spare).astype(np.float64)
        return np.right_shift(lifted.view(np.uint64), np.uint64(spare)).astype(np.float64)

    def is_padding(self, cells: Raw) -> NDArray[np.bool_]:
        """Which cells are padding."""
        if self.padding is None:
            return np.zeros(cells.shape, np.bool_)
        low, high = self.padding
        return np.asarray((cells >= low) & (cells <= high))


class Declared(NamedTuple):
    """What a header says of its pixel cells, believed so far."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    number_of_frames: int


def read_stored(dataset: Dataset) -> Stored:
    """Decode the first frame of an object.

    Parameters
    ----------
    dataset : Dataset
        Whole object, its transfer syntax named in ``file_meta``.

    Raises
    ------
    Refused
        TRANSFER_SYNTAX, NO_PIXELS, TOO_LARGE, COLOUR or DECODE_FAILED, with a sentence.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in NATIVE and syntax not in PLUGINS:
        raise Refused(Reason.TRANSFER_SYNTAX, f"transfer syntax {syntax} ({syntax.name}) has no decoder here")
    pixel_data = _pixel_data(dataset)
    declared = _declared(dataset)
    sample_bits = declared.bits_allocated
    if syntax in NATIVE:
        _check_length(dataset, pixel_data, declared)
    else:
        sample_bits = _check_codestream(pixel_data, declared)
    cells = _decoded(pixel_data, syntax, declared, vr=str(dataset["PixelData"].VR))
    bits, spare = declared.bits_stored, declared.bits_allocated - declared.bits_stored
    high_bit = number(dataset, "HighBit")
    # an encoder of Bits Stored has pushed a shifted film's samples down; one of whole cells left them where they were
    shift = int(high_bit) + 1 - bits if high_bit is not None and sample_bits > bits else 0
    return Stored(
        cells,
        bits,
        shift=shift if 0 <= shift <= spare else 0,
        signed=declared.pixel_representation == 1,
        padding=_padding(dataset, cells),
    )


def _declared(dataset: Dataset) -> Declared:
    rows, columns, allocated, bits = (
        int(number(dataset, k) or 0) for k in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    if min(rows, columns, allocated, bits) <= 0:
        raise Refused(Reason.NO_PIXELS, "pixel data without Rows, Columns, Bits Allocated or Bits Stored")
    if rows * columns > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{rows * columns} declared pixels are more than the limit of {MAX_PIXELS}")
    palette = text(dataset, "PhotometricInterpretation").upper() == "PALETTE COLOR"
    if palette or text(dataset, "SamplesPerPixel") not in {"", "1"}:
        raise Refused(Reason.COLOUR, "a colour image is no radiograph")
    if allocated not in {8, 16, 32} or bits > allocated:
        raise Refused(Reason.DECODE_FAILED, f"{bits} bits stored in {allocated} allocated cannot be decoded")
    signed = int(number(dataset, "PixelRepresentation") == 1)
    return Declared(rows, columns, allocated, bits, signed, max(1, int(number(dataset, "NumberOfFrames") or 1)))


def _check_length(dataset: Dataset, pixel_data: bytes, declared: Declared) -> None:
    """Refuse native pixels that are too few, or none at all but a codestream."""
    if dataset["PixelData"].is_undefined_length:
        raise Refused(Reason.DECODE_FAILED, "pixel data is compressed, but the transfer syntax says it is not")
    cells = declared.rows * declared.columns * declared.number_of_frames
    expected = cells * declared.bits_allocated // 8
    if len(pixel_data) < expected:
        raise Refused(Reason.DECODE_FAILED, f"pixel data is truncated: {len(pixel_data)} of {expected} bytes")


def _pixel_data(dataset: Dataset) -> bytes:
    if "PixelData" not in dataset:
        floating = any(k in dataset for k in ("FloatPixelData", "DoubleFloatPixelData"))
        raise Refused(Reason.NO_PIXELS, "pixels are no integers" if floating else "the object has no pixel data")
    try:
        value = dataset.PixelData
    except Exception as error:
        raise Refused(Reason.DECODE_FAILED, f"pixel data cannot be read: {type(error).__name__}") from error
    if not isinstance(value, bytes) or not value:
        raise Refused(Reason.NO_PIXELS, "the pixel data is empty")
    return value


def _check_codestream(pixel_data: bytes, declared: Declared) -> int:
    """Refuse a codestream of another size than the header's, before a decoder allocates for it; bits of its samples."""
    check_items(pixel_data)
    try:
        frame = get_frame(pixel_data, 0, number_of_frames=1)
        found = matrix(frame)
    except Exception as error:
        raise Refused(Reason.DECODE_FAILED, f"pixel data holds no frame: {type(error).__name__}") from error
    if found is None:  # run lengths are of whole cells
        return declared.bits_allocated
    if found.components != 1:
        raise Refused(Reason.COLOUR, f"the codestream has {found.components} components, a radiograph has one")
    if (found.rows, found.columns) != (declared.rows, declared.columns):
        raise Refused(
            Reason.DECODE_FAILED,
            f"the codestream has {found.columns} x {found.rows} pixels, "
            f"the header says {declared.columns} x {declared.rows}",
        )
    if found.rows * found.columns > PIXELS_PER_BIT * 8 * len(frame):
        raise Refused(Reason.DECODE_FAILED, f"{len(frame)} bytes cannot hold {found.columns} x {found.rows} pixels")
    return found.bits


def _decoded(pixel_data: bytes, syntax: UID, declared: Declared, *, vr: str) -> Raw:
    """Cells of shape (rows, columns), in this machine's byte order.

    The decoder gets checked facts and never the data set, whose other elements may be damaged.
    """
    facts: dict[str, Any] = {
        **declared._asdict(),
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "pixel_vr": vr,
        "correct_unused_bits": False,  # Stored.values does, on the table and not on the film
        "view_only": True,
    }
    named = plugin(syntax, declared.bits_allocated)
    try:
        array, _ = get_decoder(syntax).as_array(pixel_data, raw=True, index=0, decoding_plugin=named, **facts)
    except MemoryError:
        raise
    except Exception as error:
        raise Refused(
            Reason.DECODE_FAILED, f"{syntax.name} pixel data cannot be decoded: {type(error).__name__}"
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise Refused(Reason.COLOUR, f"decoded pixels have shape {array.shape}, a radiograph has rows and columns")
    return np.asarray(array, array.dtype.newbyteorder("="))


def _padding(dataset: Dataset, cells: Raw) -> tuple[int, int] | None:
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit")
    info = np.iinfo(cells.dtype)
    span = int(info.max) - int(info.min) + 1
    # written as US for signed pixels, or the other way round, it means the same bits
    low, high = sorted((int(v) - info.min) % span + info.min for v in (first, first if last is None else last))
    return int(low), int(high)
