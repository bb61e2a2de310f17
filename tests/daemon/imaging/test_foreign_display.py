"""The display pipeline against dcmtk's ``dcmj2pnm``: the same object, rendered twice to 16 bits.

Where the standard leaves nothing open both agree to the rounding of dcmtk's own steps. It knows no LINEAR_EXACT,
renders padding like any pixel, and takes a table's whole output range where we take its entries' own: those are tested
by value elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from cxrd.imaging.decode import decode
from cxrd.imaging.header import read_object
from cxrd.imaging.stored import read_stored
from support.datasets import encoded
from support.foreign import of, run

EVERY = np.arange(4096, dtype=np.uint16).reshape(64, 64)
WINDOW, TABLE, NOTHING = ("+Wi", "1"), ("+Wl", "1"), ()

ROUNDED = 1.01 / 65535
"""dcmtk truncates where we round."""


def table(first: int, entries: NDArray[np.float64], bits: int) -> list[Dataset]:
    """A LUT sequence over values from ``first`` on, its output rounded to so many bits."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new("LUTData", "OW", np.rint(entries * (2**bits - 1)).astype("<u2").tobytes())
    return [item]


ROOT, SQUARE = np.linspace(0, 1, 4096) ** 0.5, np.linspace(0, 1, 65536) ** 2
ASKED: dict[str, tuple[dict[str, Any], tuple[str, ...], float]] = {
    "linear": ({"WindowCenter": 2000, "WindowWidth": 3000}, WINDOW, ROUNDED),
    "linear of halves": ({"WindowCenter": "1999.5", "WindowWidth": "2999"}, WINDOW, ROUNDED),
    "narrow": ({"WindowCenter": 2000, "WindowWidth": 301}, WINDOW, ROUNDED),
    "wider than the film": ({"WindowCenter": 1000, "WindowWidth": 9000}, WINDOW, ROUNDED),
    "sigmoid": ({"WindowCenter": 2000, "WindowWidth": 3000, "VOILUTFunction": "SIGMOID"}, WINDOW, ROUNDED),
    "several": ({"WindowCenter": [2000, 100], "WindowWidth": [3000, 10]}, WINDOW, ROUNDED),
    "rescaled": (
        {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000, "WindowWidth": 5000}, WINDOW, ROUNDED,
    ),
    "falling": (
        {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2000, "WindowWidth": 3000}, WINDOW, ROUNDED,
    ),
    # dcmtk rounds modality values to integers, here to one of 1,200
    "rescaled by a part": (
        {"RescaleSlope": "0.37", "RescaleIntercept": "-11.5", "WindowCenter": 700, "WindowWidth": 1200}, WINDOW,
        1 / 1199 + ROUNDED,
    ),
    # and widens 12 or 8 bits to 16 by a shift, which loses the last step
    "nothing": ({}, NOTHING, 16 / 65535),
    "rescaled only": ({"RescaleSlope": 2, "RescaleIntercept": -1000}, NOTHING, 16 / 65535),
    "voi table": ({"VOILUTSequence": table(0, ROOT, 16)}, TABLE, ROUNDED),
    "voi table of 12 bits": ({"VOILUTSequence": table(500, ROOT[:3000], 12)}, TABLE, 16 / 65535),
    "voi table of 8 bits": ({"VOILUTSequence": table(0, ROOT, 8)}, TABLE, 256 / 65535),
    "modality table": (
        {"ModalityLUTSequence": table(0, ROOT, 16), "WindowCenter": 30000, "WindowWidth": 50000}, WINDOW, ROUNDED,
    ),
    "both tables": (
        {"ModalityLUTSequence": table(0, ROOT, 16), "VOILUTSequence": table(0, SQUARE, 16)}, TABLE, ROUNDED,
    ),
}  # fmt: skip

INVERTED: dict[str, dict[str, str]] = {
    "MONOCHROME2": {"PhotometricInterpretation": "MONOCHROME2"},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "MONOCHROME1 INVERSE": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "MONOCHROME2 IDENTITY": {"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "IDENTITY"},
    "MONOCHROME2 INVERSE": {"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "INVERSE"},
    "MONOCHROME1 IDENTITY": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
}


def rendered(data: bytes, folder: Path, *options: str) -> NDArray[np.float64]:
    """What dcmtk shows of an object, 0 to 1."""
    source, target = folder / "film.dcm", folder / "film.png"
    source.write_bytes(data)
    run("dcmj2pnm", *options, "+on2", source, target)
    return np.asarray(cv2.imread(str(target), cv2.IMREAD_UNCHANGED), np.float64) / 65535


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("inverted", INVERTED)
def test_a_film_is_shown_as_dcmtk_shows_it(tmp_path: Path, name: str, inverted: str) -> None:
    """Every grey step, either way round."""
    changes, options, tolerance = ASKED[name]
    data = encoded(of(EVERY, 12, **changes, **INVERTED[inverted]))
    np.testing.assert_allclose(decode(data).pixels, rendered(data, tmp_path, *options), atol=tolerance)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, NOTHING),
        ({"WindowCenter": -48, "WindowWidth": 3000}, WINDOW),
        ({"WindowCenter": -48, "WindowWidth": 3000, "VOILUTFunction": "SIGMOID"}, WINDOW),
        ({"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": -1000, "WindowWidth": 5000}, WINDOW),
        ({"VOILUTSequence": table(-2048, ROOT, 16)}, TABLE),
        ({"ModalityLUTSequence": table(-2048, ROOT, 16), "WindowCenter": 30000, "WindowWidth": 50000}, WINDOW),
    ],
    ids=["nothing", "window", "sigmoid", "rescaled", "voi table", "modality table"],
)
@pytest.mark.parametrize("high", [False, True], ids=["low", "high"])
def test_signed_films_too(tmp_path: Path, changes: dict[str, Any], options: tuple[str, ...], high: bool) -> None:  # noqa: FBT001
    """Two's complement, also where it lies high in its cell."""
    signed = EVERY.astype(np.int16) - 2048
    made = of(signed << 4, 12, HighBit=15, **changes) if high else of(signed, 12, **changes)
    data = encoded(made)
    np.testing.assert_allclose(decode(data).pixels, rendered(data, tmp_path, *options), atol=16 / 65535)


@pytest.mark.parametrize("name", ["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "SIIM_"])
def test_real_films_are_shown_as_dcmtk_shows_them(films: Path, tmp_path: Path, name: str) -> None:
    """With the windows that their senders wrote; dcmtk 3.6.7 reads no JPEG 2000, so it gets native pixels."""
    (path,) = (films / "dicom").glob(f"{name}*")
    header = dcmread(path, force=True, stop_before_pixels=True)
    stored = read_stored(read_object(path.read_bytes()))
    keywords = ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PhotometricInterpretation")
    changes = {keyword: header[keyword].value for keyword in keywords if keyword in header}
    made = of(stored.cells.astype(f"u{stored.cells.dtype.itemsize}"), stored.bits, **changes)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = encoded(made)
    options = WINDOW if "WindowCenter" in header else NOTHING
    shown = decode(path.read_bytes())
    assert () == shown.notes
    np.testing.assert_allclose(
        shown.pixels, rendered(data, tmp_path, *options), atol=ROUNDED if options else 256 / 65535
    )
