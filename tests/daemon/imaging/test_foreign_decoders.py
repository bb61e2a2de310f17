"""Stored pixels against other people's decoders: dcmtk for what it reads, OpenJPEG and OpenJPH for JPEG 2000.

Every encoding is made by a foreign encoder and read twice, here and by the foreign decoder. All agree to the bit but
for two lossy ones whose standards leave the last bit of the inverse transform open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom import uid as ts

from cxrd.imaging.header import read_object
from cxrd.imaging.stored import read_stored
from support.datasets import encoded
from support.foreign import KINDS, Cells, converted, framed, native, of, openjpeg, openjph, scene

ROUNDED = 1
"""Greys by which two inverse transforms of 12 bits may differ; of 4096 (ISO/IEC 10918-2 demands no more)."""


class Encoding(NamedTuple):
    """How a program of dcmtk encodes, what it makes, which one decodes it, and whether it encodes signed pixels."""

    tool: str
    options: tuple[str, ...]
    syntax: ts.UID
    decoder: str
    signed: bool = True


SPLIT = ("+fs", "1", "-ot")  # fragments of a kilobyte, and no offsets
ENCODINGS = {
    "RLE": Encoding("dcmcrle", (), ts.RLELossless, "dcmdrle"),
    "RLE in fragments": Encoding("dcmcrle", SPLIT, ts.RLELossless, "dcmdrle"),
    "lossless 1": Encoding("dcmcjpeg", ("+el", "+sv", "1"), ts.JPEGLossless, "dcmdjpeg"),
    "lossless 4": Encoding("dcmcjpeg", ("+el", "+sv", "4"), ts.JPEGLossless, "dcmdjpeg"),
    "lossless 6": Encoding("dcmcjpeg", ("+el", "+sv", "6"), ts.JPEGLossless, "dcmdjpeg"),
    "lossless 7": Encoding("dcmcjpeg", ("+el", "+sv", "7"), ts.JPEGLossless, "dcmdjpeg"),
    "lossless SV1": Encoding("dcmcjpeg", ("+e1",), ts.JPEGLosslessSV1, "dcmdjpeg"),
    "lossless SV1 in fragments": Encoding("dcmcjpeg", ("+e1", *SPLIT), ts.JPEGLosslessSV1, "dcmdjpeg"),
    "baseline": Encoding("dcmcjpeg", ("+eb", "+q", "80"), ts.JPEGBaseline8Bit, "dcmdjpeg"),
    "extended": Encoding("dcmcjpeg", ("+ee", "+q", "80"), ts.JPEGExtended12Bit, "dcmdjpeg"),
    "JPEG-LS": Encoding("dcmcjpls", ("+el",), ts.JPEGLSLossless, "dcmdjpls"),
    "JPEG-LS in fragments": Encoding("dcmcjpls", ("+el", *SPLIT), ts.JPEGLSLossless, "dcmdjpls"),
    "JPEG-LS near": Encoding("dcmcjpls", ("+en",), ts.JPEGLSNearLossless, "dcmdjpls", signed=False),
}


def values(data: bytes) -> NDArray[np.float64]:
    """Pixel values as read here."""
    stored = read_stored(read_object(data))
    return stored.values(stored.cells)


def differing(path: Path, encoding: Encoding) -> float:
    """The largest difference to dcmtk's decoder, in greys."""
    assert encoding.syntax == dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    return float(np.abs(values(path.read_bytes()) - native(path, encoding.decoder)).max())


def tolerated(path: Path) -> int:
    """None, but for the one transform that is not done in the same integers."""
    header = dcmread(path, stop_before_pixels=True)
    return ROUNDED if header.file_meta.TransferSyntaxUID == ts.JPEGExtended12Bit and header.BitsAllocated > 8 else 0


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in KINDS for n in ENCODINGS if "signed" not in k or ENCODINGS[n].signed]
)
def test_the_same_pixels_as_dcmtk(tmp_path: Path, kind: str, name: str) -> None:
    """Any depth, signed or not, in one fragment or several."""
    encoding = ENCODINGS[name]
    cells = scene(KINDS[kind])
    path = converted(of(cells, KINDS[kind].bits), tmp_path, encoding.tool, *encoding.options)
    assert differing(path, encoding) <= tolerated(path)


@pytest.mark.parametrize("option", ["+ti", "+te", "+tb", "+td"])
@pytest.mark.parametrize("kind", KINDS)
def test_native_encodings(tmp_path: Path, kind: str, option: str) -> None:
    """Implicit, explicit, big endian and deflated, as dcmtk writes them."""
    cells = scene(KINDS[kind])
    path = converted(of(cells, KINDS[kind].bits), tmp_path, "dcmconv", option)
    np.testing.assert_array_equal(cells, values(path.read_bytes()))


@pytest.mark.parametrize("option", ["+ti", "+te", "+tb"])
@pytest.mark.parametrize("bits", [8, 12])
def test_a_bare_data_set(tmp_path: Path, bits: int, option: str) -> None:
    """No preamble and no meta information: read as what it parses as."""
    cells = scene(KINDS[f"{bits} bit"])
    path = converted(of(cells, bits), tmp_path, "dcmconv", "-F", option)
    assert b"DICM" != path.read_bytes()[128:132]
    np.testing.assert_array_equal(cells, values(path.read_bytes()))


@pytest.mark.parametrize("name", ["RLE", "lossless SV1", "JPEG-LS"])
@pytest.mark.parametrize(("high_bit", "lift", "rubbish"), [(15, 4, 0), (15, 4, 5), (13, 2, 0xC003), (11, 0, 0xF000)])
def test_samples_that_lie_high_stay_so(tmp_path: Path, name: str, high_bit: int, lift: int, rubbish: int) -> None:
    """Encoders of whole cells leave 12 bits under High Bit 15 where they were, and what lies beside them."""
    encoding = ENCODINGS[name]
    cells = scene(KINDS["12 bit"])
    lifted = ((cells << lift) | rubbish).astype(np.uint16)
    path = converted(of(lifted, 12, HighBit=high_bit), tmp_path, encoding.tool, *encoding.options)
    np.testing.assert_array_equal(lifted, native(path, encoding.decoder))
    np.testing.assert_array_equal(cells, values(path.read_bytes()))


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("options", [(), ("-t", "32,32", "-p", "RPCL"), ("-r", "5", "-I")], ids=["5-3", "tiles", "9-7"])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "15 bit"])  # opj_compress knows no 15
def test_the_same_pixels_as_openjpeg(tmp_path: Path, kind: str, options: tuple[str, ...], fragments: int) -> None:
    """JPEG 2000, reversible and not; reversible ones also as they were."""
    bits = KINDS[kind].bits
    cells = scene(KINDS[kind])
    frame, expected = openjpeg(cells, bits, tmp_path, *options)
    syntax = ts.JPEG2000 if "-I" in options else ts.JPEG2000Lossless
    found = values(encoded(framed(frame, syntax, cells, bits, fragments=fragments)))
    np.testing.assert_array_equal(expected, found)
    assert ("-I" in options) == bool((found != cells).any())


def test_a_codestream_of_more_bits_than_the_header_stores(tmp_path: Path) -> None:
    """Twelve bits sent as samples of sixteen are twelve bits."""
    cells = scene(KINDS["12 bit"])
    frame, _ = openjpeg(cells, 16, tmp_path)
    np.testing.assert_array_equal(cells, values(encoded(framed(frame, ts.JPEG2000Lossless, cells, 12))))


@pytest.mark.parametrize(
    ("syntax", "options", "tolerance"),
    [
        (ts.HTJ2KLossless, ("-reversible", "true"), 0),
        (ts.HTJ2KLosslessRPCL, ("-reversible", "true", "-prog_order", "RPCL"), 0),
        (ts.HTJ2K, ("-reversible", "false", "-qstep", "0.001"), 2),
    ],
)
@pytest.mark.parametrize("kind", [k for k in KINDS if "signed" not in k])  # ojph_compress reads no signed samples
def test_the_same_pixels_as_openjph(
    tmp_path: Path, kind: str, syntax: ts.UID, options: tuple[str, ...], tolerance: int
) -> None:
    """High throughput: to the bit, and the irreversible one to two greys of its floating point."""
    bits = KINDS[kind].bits
    cells = scene(KINDS[kind])
    frame, expected = openjph(cells, bits, tmp_path, *options)
    found = values(encoded(framed(frame, syntax, cells, bits, fragments=2)))
    assert tolerance >= np.abs(found - expected).max()
    if not tolerance:
        np.testing.assert_array_equal(cells, found)


@pytest.fixture(scope="module", params=["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "SIIM_"])
def real(request: pytest.FixtureRequest, films: Path) -> tuple[Cells, int]:
    """Cells of a real film, and its Bits Stored."""
    (path,) = (films / "dicom").glob(f"{request.param}*")
    stored: Any = read_stored(read_object(path.read_bytes()))
    return stored.cells, stored.bits


@pytest.mark.parametrize("name", ["RLE in fragments", "lossless 6", "lossless SV1", "baseline", "JPEG-LS"])
def test_real_films_in_every_encoding(tmp_path: Path, real: tuple[Cells, int], name: str) -> None:
    """The three films, their pixels encoded by dcmtk."""
    cells, bits = real
    encoding = ENCODINGS[name]
    path = converted(of(cells, bits), tmp_path, encoding.tool, *encoding.options)
    assert differing(path, encoding) <= tolerated(path)


def test_a_real_film_that_came_as_jpeg(films: Path, tmp_path: Path) -> None:
    """As its scanner's software encoded it."""
    (path,) = (films / "dicom").glob("SIIM_*")
    copy = tmp_path / "film.dcm"
    copy.write_bytes(path.read_bytes())
    np.testing.assert_array_equal(native(copy, "dcmdjpeg"), values(copy.read_bytes()))
