"""The greyscale pipeline of a film as a presentation state states it (PS3.4 N.2): modality, VOI, presentation.

A presentation state replaces what the image says, so what it leaves out is not applied; and it may not carry half of a
pair. The rules are those by which cxrd itself shows the film, but for two things: a window that hides the film is
stated as the header has it, where cxrd stretches the greys by percentiles and notes it; and padding, which cxrd shows
black, is left to the viewer, for no presentation state tells of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom import Dataset

from cxrd.imaging.display import inverse, named_window, number, read_lut
from cxrd.imaging.header import items, text

RESCALE_TYPE = "US"
"""Unspecified units, where the source names none (C.11.1.1.2)."""


def state(made: Dataset, source: Dataset, *, inverted: bool) -> None:
    """Put the three steps of ``source`` into a presentation state; what cannot be read is left out.

    ``inverted`` greys contradict the header, and the state shows them the other way round.
    """
    signed = number(source, "PixelRepresentation") == 1
    modality = _lut(source, "ModalityLUTSequence", signed=signed)
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    if modality:
        modality.ModalityLUTType = _first(source, "ModalityLUTSequence", "ModalityLUTType") or RESCALE_TYPE
        made.ModalityLUTSequence = [modality]
    elif slope and intercept is not None:
        made.RescaleSlope, made.RescaleIntercept = _decimal(slope), _decimal(intercept)
        made.RescaleType = text(source, "RescaleType")[:64] or RESCALE_TYPE
        signed = signed or intercept < 0
    table = _lut(source, "VOILUTSequence", signed=signed, stretched=True)
    window = named_window(source)
    voi = Dataset()
    if table:
        voi.VOILUTSequence = [table]
    elif window and (window[1] >= 1 or window[2] != "LINEAR"):  # LINEAR is defined from a width of 1 (C.11.2.1.2.1)
        voi.WindowCenter, voi.WindowWidth = (_decimal(v) for v in window[:2])
        if window[2] in {"LINEAR_EXACT", "SIGMOID"}:
            voi.VOILUTFunction = window[2]
    if len(voi):
        made.SoftcopyVOILUTSequence = [voi]
    made.PresentationLUTShape = "INVERSE" if inverse(source) != inverted else "IDENTITY"


def spacing(made: Dataset, source: Dataset) -> None:
    """State the size or, where no spacing is known, the shape of a pixel (C.10.4)."""
    size = pixel_size(source)
    if size:
        made.PresentationPixelSpacing = [_decimal(v) for v in size]
    else:
        made.PresentationPixelAspectRatio = [int(v) for v in _pair(source, "PixelAspectRatio", int) or (1, 1)]


def pixel_size(source: Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel in mm, at the patient or else at the detector; None where no header tells."""
    return _pair(source, "PixelSpacing", float) or _pair(source, "ImagerPixelSpacing", float)


def _lut(source: Dataset, keyword: str, *, signed: bool, stretched: bool = False) -> Dataset | None:
    """The first LUT of a sequence as a clean item of 16 bit; None where there is none that can be read.

    A state's tables have 8 or 16 bit, a film's any number between. Output of a VOI LUT counts by its highest possible
    value, so it is ``stretched``; output of a modality LUT is a value, and stays.
    """
    found = items(source, keyword)
    if not found:
        return None
    try:
        table = read_lut(source, found[0], signed=signed)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):  # a sender's table may hold anything
        return None
    entries = np.rint(table.entries * (65535 / table.top)) if stretched else table.entries
    count = len(entries) % 65536  # 0 means 65536
    made = Dataset()
    if table.first < 0:  # the same bits, by whichever sign they are read
        made.add_new("LUTDescriptor", "SS", [count - 65536 if count > 32767 else count, table.first, 16])
    else:
        made.add_new("LUTDescriptor", "US", [count, table.first, 16])
    made.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return made


def _first(source: Dataset, sequence: str, keyword: str) -> str:
    return next((text(item, keyword)[:64] for item in items(source, sequence)), "")


def _pair(source: Dataset, keyword: str, kind: Callable[[str], float]) -> tuple[float, float] | None:
    """Two positive numbers, or None."""
    try:
        down, across = (kind(part) for part in text(source, keyword).split("\\"))
    except ValueError:
        return None
    return (down, across) if down > 0 and across > 0 and np.isfinite([down, across]).all() else None


def _decimal(value: float) -> str:
    """A number of at most 16 characters (PS3.5 DS)."""
    short = f"{value:.10g}"
    return short if len(short) <= 16 else f"{value:.8g}"
