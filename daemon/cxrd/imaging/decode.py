"""From an object's bytes to a display-ready radiograph (PS3.4 N.2 pipeline), in float32 and one table.

Modality LUT, VOI and presentation are composed over every value a pixel cell can hold and looked up once: a 7.5
megapixel film costs some 10 milliseconds where the general float64 path costs more than a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxrd.imaging import display
from cxrd.imaging.header import read_object, text
from cxrd.imaging.stored import Raw, Stored, read_stored

CLIPPED_SHARE = 0.98
"""A window that sends more of the film than this to black or white is ignored: it was not made for these values."""

NARROW = 0.1
"""Part of the grey scale under which nearly the whole film lies: such a film is stretched (12 bits called 16)."""

SAMPLE = 100_000
"""Pixels, about, by which a film's greys are judged."""

TABLE = 1 << 16
BLOCK_ROWS = 256
"""Rows looked up at once: few enough for their indices to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    r"""A film as a reader should see it.

    Attributes
    ----------
    pixels : float32 (rows, columns)
        0 black to 1 white, bone white, in the source's orientation; padding is 0.
    mirrored : bool
        The row direction points to the patient's right (``R\F``).
    sided : bool
        The header says which of the patient's sides image-left is: rows run to the left or to the right.
    notes : tuple of str
        What was done beyond the header's word.
    """

    pixels: NDArray[np.float32]
    mirrored: bool
    sided: bool
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
        UNREADABLE, MISSING_UID, NO_PIXELS, TOO_LARGE, TRANSFER_SYNTAX, COLOUR or DECODE_FAILED, with a sentence.
    """
    dataset = read_object(data)
    stored, notes = _with_believable_padding(read_stored(dataset))
    modality = display.modality(dataset, stored.bits, signed=stored.signed)
    voi, remedies = _fitting(display.voi(dataset, modality), modality, stored)
    dark, bright = (1.0, 0.0) if display.inverse(dataset) else (0.0, 1.0)

    def shade(cells: Raw) -> NDArray[np.float32]:
        shown = dark + (bright - dark) * voi(modality.step(stored.values(cells)))
        shown[stored.is_padding(cells)] = 0.0
        return shown.astype(np.float32)

    pixels = _looked_up(shade, stored.cells)
    rows_run_to = text(dataset, "PatientOrientation").upper()[:1]
    return Radiograph(
        pixels,
        mirrored=rows_run_to == "R",
        sided=rows_run_to in {"L", "R"},
        notes=(*notes, *modality.notes, *remedies),
    )


def _with_believable_padding(stored: Stored) -> tuple[Stored, tuple[str, ...]]:
    """Padding that leaves no film is a wrong tag."""
    if stored.padding is None or not stored.is_padding(_sample(stored)).all():
        return stored, ()
    return replace(stored, padding=None), ("the padding value covers the whole film and was ignored",)


def _sample(stored: Stored) -> Raw:
    """Cells of an even grid over the film, one-dimensional."""
    every = max(1, round((stored.cells.size / SAMPLE) ** 0.5))
    return stored.cells[::every, ::every].ravel()


def _fitting(voi: display.Voi, modality: display.Modality, stored: Stored) -> tuple[display.Step, tuple[str, ...]]:
    """The header's VOI step, or one by percentiles where the header's would hide the film."""
    sample = _sample(stored)
    values = modality.step(stored.values(sample[~stored.is_padding(sample)]))
    shown = voi.step(values)
    if voi.asked and float(np.mean((shown <= 0.0) | (shown >= 1.0))) > CLIPPED_SHARE and np.ptp(values) > 0:
        low, high = np.percentile(values, (0.5, 99.5))
        step = display.stretch(float(low), float(high)) if high > low else display.stretch(*_ends(values))
        return step, (*voi.notes, "the header's window clips the whole film and was replaced by percentiles")
    low, high = np.percentile(shown, (1, 99))
    if 0 < high - low < NARROW:
        low, high = np.percentile(shown, (0.5, 99.5))
        again = display.stretch(float(low), float(high))
        return lambda v: again(voi.step(v)), (
            *voi.notes,
            "the header leaves the film a tenth of the grey scale or less, and it was stretched by percentiles",
        )
    return voi.step, voi.notes


def _ends(values: display.Values) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _looked_up(shade: display.Shade, cells: Raw) -> NDArray[np.float32]:
    """Shade every cell: by a table of all that occur, or cell by cell where 32 bits are really used."""
    shown = np.empty(cells.shape, np.float32)
    blocks = [slice(at, at + BLOCK_ROWS) for at in range(0, cells.shape[0], BLOCK_ROWS)]
    if cells.dtype.itemsize > 2 and (cells.min() < 0 or cells.max() >= TABLE):
        for block in blocks:
            shown[block] = shade(cells[block])
        return shown
    index = cells.view(f"u{cells.dtype.itemsize}")  # a signed cell's bits are its place in the table
    table = shade(np.arange(int(index.max()) + 1, dtype=index.dtype).view(cells.dtype))
    for block in blocks:
        table.take(index[block], out=shown[block], mode="clip")  # nothing to clip, but any other mode copies
    return shown
