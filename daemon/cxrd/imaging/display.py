"""Stored values to display values: each step a small function beside its clause of PS3.3.

A step maps float64 values element by element, so steps can be composed over a table of every stored value (and a
film looked up once, in float32) or over the pixels themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.imaging.header import items, text

Values = NDArray[np.float64]
Step = Callable[[Values], Values]
Shade = Callable[[NDArray[np.integer]], NDArray[np.float32]]


class Lut(NamedTuple):
    """One LUT item: output of each entry, the first input mapped, and the output's highest possible value."""

    entries: Values
    first: int
    top: float

    def apply(self, values: Values) -> Values:
        """Look values up (C.11.1.1.1): below the first mapped they take the first entry, above the last the last."""
        index = np.clip(values - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.int64)])


class Modality(NamedTuple):
    """The modality step, the lowest and highest value it can give, and what was done beyond the header's word."""

    step: Step
    low: float
    high: float
    notes: tuple[str, ...]


class Voi(NamedTuple):
    """The VOI step to 0..1, whether the header asked for it, and notes."""

    step: Step
    asked: bool
    notes: tuple[str, ...]


def modality(header: Dataset, bits: int, *, signed: bool) -> Modality:
    """Modality LUT, else rescale slope and intercept (C.11.1), over pixels of so many bits."""
    notes: tuple[str, ...] = ()
    sequence = items(header, "ModalityLUTSequence")
    if sequence:
        try:
            table = read_lut(header, sequence[0], signed=signed)
        except Exception:  # noqa: BLE001 - whatever is wrong with a sender's table, the film is still shown
            notes = ("the Modality LUT cannot be read and was ignored",)
        else:
            return Modality(table.apply, float(table.entries.min()), float(table.entries.max()), ())
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if not slope or intercept is None:  # a slope of 0 would leave nothing to see
        slope, intercept = 1.0, 0.0
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = sorted((low * slope + intercept, high * slope + intercept))
    if (slope, intercept) == (1.0, 0.0):
        return Modality(lambda values: values, low, high, notes)
    return Modality(lambda values: values * slope + intercept, low, high, notes)


def voi(header: Dataset, given: Modality) -> Voi:
    """VOI LUT before window (C.11.2), and the whole range where there is neither."""
    notes: tuple[str, ...] = ()
    sequence = items(header, "VOILUTSequence")
    if sequence:
        try:
            table = read_lut(header, sequence[0], signed=given.low < 0)
        except Exception:  # noqa: BLE001 - as in modality
            notes = ("the VOI LUT cannot be read and was ignored",)
        else:
            return Voi(lambda values: np.asarray(table.apply(values) / table.top), True, ())
    named = named_window(header)
    if named:
        return Voi(lambda values: window(values, *named), True, notes)
    return Voi(stretch(given.low, given.high), False, notes)


def stretch(low: float, high: float) -> Step:
    """Map ``low`` to 0 and ``high`` to 1, clipped."""
    width = high - low if high > low else 1.0
    return lambda values: np.clip((values - low) / width, 0.0, 1.0)


def read_lut(header: Dataset, item: Dataset, *, signed: bool) -> Lut:
    """Read one LUT item (C.11.1.1), its input ``signed`` or not.

    Raises
    ------
    ValueError
        Fewer entries than the descriptor says, or none.
    """
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count or 65536
    if signed and first >= 32768:  # the second value is of the pixels' signedness, whatever VR it was written as
        first -= 65536
    data = item.LUTData
    if isinstance(data, bytes):  # OW, whose byte order pydicom leaves alone
        words = np.dtype("<u2" if getattr(header, "original_encoding", (None, True))[1] is not False else ">u2")
        data = np.frombuffer(data, words) if len(data) >= 2 * count else np.frombuffer(data, np.uint8)
    entries = np.asarray(data, np.float64).ravel()[:count]
    if len(entries) < count:
        raise ValueError("the LUT has fewer entries than its descriptor says")
    top = 2 ** (bits if 8 <= bits <= 16 else 16) - 1
    if entries.max() > top:  # a descriptor that claims fewer bits than the data has
        top = 2 ** int(entries.max()).bit_length() - 1
    return Lut(entries, first, float(top))


def window(values: Values, centre: float, width: float, function: str) -> Values:
    """Window to 0..1: LINEAR (C.11.2.1.2.1), LINEAR_EXACT (C.11.2.1.3.2) or SIGMOID (C.11.2.1.3.1)."""
    match function:
        case "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700))))
        case "LINEAR_EXACT":
            return np.asarray(np.clip((values - centre) / width + 0.5, 0.0, 1.0))
        case _ if width <= 1:
            return np.asarray((values > centre - 0.5).astype(np.float64))
        case _:
            return np.asarray(np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0))


def named_window(header: Dataset) -> tuple[float, float, str] | None:
    """The first window that a header names: centre, width, function; None without a usable one."""
    centre, width = number(header, "WindowCenter"), number(header, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    return centre, width, text(header, "VOILUTFunction").upper() or "LINEAR"


def inverse(header: Dataset) -> bool:
    """Whether low values are to be shown bright: Presentation LUT Shape rules, else MONOCHROME1 (C.11.6)."""
    shape = text(header, "PresentationLUTShape").upper()
    if shape in {"IDENTITY", "INVERSE"}:
        return shape == "INVERSE"
    return text(header, "PhotometricInterpretation").upper() == "MONOCHROME1"


def number(header: Dataset, keyword: str) -> float | None:
    """First value of a numeric element; None when missing, blank or not a number."""
    first = text(header, keyword).split("\\")[0]
    try:
        value = float(first)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
