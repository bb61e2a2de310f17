"""Stored values to display values: each step a small function beside its clause of PS3.3.

Steps are composed into one table over all stored values, so a film is looked up once, in float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.imaging.header import text

Values = NDArray[np.float64]


def modality(header: Dataset, stored: Values) -> Values:
    """Modality LUT, else rescale slope and intercept (C.11.1)."""
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        return look_up(sequence[0], stored)
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None or intercept is None:
        return stored
    return stored * slope + intercept


def look_up(item: Dataset, values: Values) -> Values:
    """Apply one LUT (C.11.1.1.1): values below the first mapped take the first entry, above the last the last."""
    entries, first, _bits = (int(v) for v in item.LUTDescriptor)
    entries = entries or 65536
    if first >= 32768 and values.min() < 0:  # the descriptor's second value is signed when the pixels are (C.11.1.1)
        first -= 65536
    table = lut_data(item, entries)
    index = np.clip(values - first, 0, entries - 1).astype(np.int64)
    return table[index]


def lut_data(item: Dataset, entries: int) -> Values:
    """Entries of a LUT, whichever VR they were read as."""
    data = item.LUTData
    if isinstance(data, bytes):
        kind = np.uint16 if len(data) >= 2 * entries else np.uint8
        data = np.frombuffer(data, kind)
    table = np.asarray(data, np.float64)
    if len(table) < entries:
        raise ValueError("the LUT has fewer entries than its descriptor says")
    return table[:entries]


def lut_range(item: Dataset) -> tuple[float, float]:
    """Lowest and highest output of a LUT by its bits per entry (C.11.2.1.1)."""
    bits = int(item.LUTDescriptor[2])
    return 0.0, float(2 ** (bits if 8 <= bits <= 16 else 16) - 1)


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
