"""From an object's bytes to a display-ready radiograph (PS3.4 N.2 pipeline), in float32 and one table.

Modality LUT, VOI and presentation are composed over the range of stored values and looked up once: a 7.5 megapixel
film costs tens of milliseconds where the general float64 path costs more than a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder

from cxrd.errors import Reason, Refused
from cxrd.imaging import display
from cxrd.imaging.codecs import NATIVE, PLUGINS
from cxrd.imaging.header import read_object, text

MAX_PIXELS = 100_000_000
"""Declared pixels above which an object is a bomb and not a film (the largest detectors have 30 million)."""

CLIPPED_SHARE = 0.98
"""A window that sends more of the film than this to black or white is ignored: it was not made for these values."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    r"""A film as a reader should see it.

    Attributes
    ----------
    pixels : float32 (rows, columns)
        0 black to 1 white, bone white, in the source's orientation; padding is 0.
    mirrored : bool
        The row direction points to the patient's right (``R\F``).
    notes : tuple of str
        What was done beyond the header's word.
    """

    pixels: NDArray[np.float32]
    mirrored: bool
    notes: tuple[str, ...]


def decode(data: bytes) -> Radiograph:
    """Decode one film.

    Parameters
    ----------
    data : bytes
        Part 10 file or bare data set.

    Raises
    ------
    Refused
        NO_PIXELS, TOO_LARGE, TRANSFER_SYNTAX, COLOUR or DECODE_FAILED, with a sentence.
    """
    dataset = read_object(data)
    _check_declared(dataset)
    stored = _stored_values(dataset)
    padding = _padding(dataset, stored)
    pixels, notes = _displayed(dataset, stored, padding)
    if padding is not None:
        pixels[padding] = 0.0
    orientation = text(dataset, "PatientOrientation").upper().split("\\")
    return Radiograph(pixels, mirrored=orientation[0].startswith("R"), notes=notes)


def _check_declared(dataset: Dataset) -> None:
    """Refuse by the header alone what must not reach a decoder."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in NATIVE and syntax not in PLUGINS:
        raise Refused(Reason.TRANSFER_SYNTAX, f"transfer syntax {syntax} ({syntax.name}) has no decoder here")
    if not any(k in dataset for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Refused(Reason.NO_PIXELS, "the object has no pixel data")
    facts = {k: display.number(dataset, k) for k in ("Rows", "Columns", "BitsAllocated", "BitsStored")}
    if "PixelData" not in dataset or not all(facts.values()):
        raise Refused(Reason.NO_PIXELS, "pixel data without Rows, Columns, Bits Allocated or Bits Stored")
    size = int(facts["Rows"] or 0) * int(facts["Columns"] or 0)
    if size > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{size} declared pixels are more than the limit of {MAX_PIXELS}")
    if text(dataset, "SamplesPerPixel") not in {"", "1"}:
        raise Refused(Reason.COLOUR, "a colour image is no radiograph")
    if syntax in NATIVE:
        expected = size * int(facts["BitsAllocated"] or 0) // 8 * int(display.number(dataset, "NumberOfFrames") or 1)
        if len(dataset.PixelData) < expected:
            raise Refused(
                Reason.DECODE_FAILED, f"pixel data is truncated: {len(dataset.PixelData)} of {expected} bytes"
            )


def _stored_values(dataset: Dataset) -> NDArray[np.integer]:
    """Stored pixel values, integers of shape (rows, columns)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    for keyword, value in (
        ("SamplesPerPixel", 1),
        ("PixelRepresentation", 0),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        if not text(dataset, keyword):
            setattr(dataset, keyword, value)
    try:
        decoder = get_decoder(syntax)
        array, _ = decoder.as_array(dataset, raw=True, index=0, decoding_plugin=PLUGINS.get(syntax, ""))
    except MemoryError:
        raise
    except Exception as error:
        raise Refused(
            Reason.DECODE_FAILED, f"{syntax.name} pixel data cannot be decoded: {type(error).__name__}"
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise Refused(Reason.COLOUR, f"decoded pixels have shape {array.shape}, a radiograph has rows and columns")
    return _meaningful_bits(dataset, array)


def _meaningful_bits(dataset: Dataset, array: NDArray[np.integer]) -> NDArray[np.integer]:
    """Drop bits above Bits Stored, where old systems kept overlays, and extend the sign (PS3.5 8.1.1)."""
    stored, allocated = int(dataset.BitsStored), array.dtype.itemsize * 8
    if stored >= allocated:
        return array
    spare = allocated - stored
    if array.dtype.kind == "i":
        return np.asarray(np.right_shift(np.left_shift(array, spare), spare))
    return np.asarray(np.bitwise_and(array, array.dtype.type((1 << stored) - 1)))


def _padding(dataset: Dataset, stored: NDArray[np.integer]) -> NDArray[np.bool_] | None:
    """Mask of padding pixels (C.7.5.1.1.2), None when there are none."""
    first = display.number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = display.number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    mask = (stored >= low) & (stored <= high)
    share = float(mask.mean())
    return mask if 0 < share < 1 else None


def _displayed(
    dataset: Dataset, stored: NDArray[np.integer], padding: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Display values in 0..1, by one table over the stored range."""
    low, high = int(stored.min()), int(stored.max())
    domain = np.arange(low, high + 1, dtype=np.float64)
    values = display.modality(dataset, domain)
    table, notes = _grey(dataset, values)
    counts = _share_clipped(table, stored, low, padding)
    if counts > CLIPPED_SHARE and high > low:
        table = _by_percentiles(values, stored, low, padding)
        notes = (*notes, "the header's window clips the whole film and was replaced by its percentiles")
    if display.inverse(dataset):
        table = 1.0 - table
    fine = table.astype(np.float32)
    return fine[stored.astype(np.int64) - low if low < 0 else stored - stored.dtype.type(low)], notes


def _grey(dataset: Dataset, values: display.Values) -> tuple[display.Values, tuple[str, ...]]:
    """VOI step: a LUT wins over a window, a window over the natural range (C.11.2)."""
    sequence = dataset.get("VOILUTSequence")
    if sequence:
        try:
            low, high = display.lut_range(sequence[0])
            return np.clip((display.look_up(sequence[0], values) - low) / (high - low), 0.0, 1.0), ()
        except (AttributeError, TypeError, ValueError, IndexError):
            return _without_lut(dataset, values, ("the VOI LUT cannot be read and was ignored",))
    return _without_lut(dataset, values, ())


def _without_lut(
    dataset: Dataset, values: display.Values, notes: tuple[str, ...]
) -> tuple[display.Values, tuple[str, ...]]:
    named = display.named_window(dataset)
    if named:
        return display.window(values, *named), notes
    bits = int(dataset.BitsStored)
    signed = int(display.number(dataset, "PixelRepresentation") or 0) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], np.float64)
    low, high = np.sort(display.modality(dataset, ends))
    return np.clip((values - low) / (high - low if high > low else 1.0), 0.0, 1.0), notes


def _share_clipped(
    table: display.Values, stored: NDArray[np.integer], low: int, padding: NDArray[np.bool_] | None
) -> float:
    """Share of the film (sampled) that the table sends to pure black or white."""
    sample = _sample(stored, padding)
    if sample.size == 0:
        return 0.0
    shown = table[sample.astype(np.int64) - low]
    return float(np.mean((shown <= 0.0) | (shown >= 1.0)))


def _by_percentiles(
    values: display.Values, stored: NDArray[np.integer], low: int, padding: NDArray[np.bool_] | None
) -> display.Values:
    sample = values[_sample(stored, padding).astype(np.int64) - low]
    dark, bright = np.percentile(sample, (0.5, 99.5))
    return np.asarray(np.clip((values - dark) / (bright - dark if bright > dark else 1.0), 0.0, 1.0))


def _sample(stored: NDArray[np.integer], padding: NDArray[np.bool_] | None) -> NDArray[np.integer]:
    """Every fourth pixel of every fourth row, without padding."""
    thin = stored[::4, ::4]
    return thin.ravel() if padding is None else thin[~padding[::4, ::4]]
