"""Stored values: what a header declares is checked before a decoder believes it."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom import uid as ts
from pydicom.encaps import encapsulate, generate_frames

from cxrd.errors import Reason, Refused
from cxrd.imaging.codestream import Matrix, matrix
from cxrd.imaging.decode import decode
from support.datasets import encoded, film, pixels

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
GREYS = RAMP.astype(np.float32) / 4095

HTJ2K = (
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH4AAf+TwAAm2/gFB3QAAMAAEsAAEoAiAod0ACICh3QAwAATQAATgI4dAgJ0"
    "AI47/gCDVADAABUwAAVQwMDAwKpxgnUAwIGBgcAxgey2AMAAK+AAFohGo9FoNBqN58p6enECeADGRqPRaDQa/YhAe/YhAey6AP/Z"
)
"""100 * (row + column) of 16 x 16, encoded reversibly by OpenJPH."""


def of(array: NDArray[Any], bits: int = 12, **changes: Any) -> Dataset:
    """A film of these cells."""
    dataset = film()
    pixels(dataset, array, bits_stored=bits)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def framed(frame: bytes, syntax: ts.UID, array: NDArray[Any], bits: int) -> Dataset:
    """A film whose header describes ``array`` and whose only frame is ``frame``."""
    dataset = of(array, bits)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def jpeg(array: NDArray[np.uint8], **options: Any) -> bytes:
    """A JPEG baseline frame."""
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def j2k(array: NDArray[np.uint16]) -> bytes:
    """A JPEG 2000 frame."""
    dataset = of(array)
    dataset.compress(ts.JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def refusal(dataset: Dataset) -> Refused:
    """Why a film is refused."""
    with pytest.raises(Refused) as caught:
        decode(encoded(dataset))
    return caught.value


@pytest.mark.parametrize("value", [63536, 4095])
def test_padding_may_lie_above_bits_stored(value: int) -> None:
    """It is compared before the unused bits are dropped, or it would be a grey of the film."""
    array = np.where(RAMP < 512, value, np.minimum(RAMP, 4000)).astype(np.uint16)
    found = decode(encoded(of(array, PixelPaddingValue=value))).pixels
    assert 0.0 == float(found[:8].max())
    np.testing.assert_allclose(found[8:62], GREYS[8:62], atol=1e-6)


def test_padding_of_signed_pixels_written_unsigned() -> None:
    """US 63488 is -2048."""
    array = RAMP.astype(np.int16) - 2048
    data = encoded(of(array, PixelPaddingValue=-2048))
    element = (0x0028).to_bytes(2, "little") + (0x0120).to_bytes(2, "little")
    changed = data.replace(element + b"SS", element + b"US")
    assert changed != data
    assert 0.0 == float(decode(changed).pixels[0, 0])


def test_a_range_of_padding() -> None:
    """From the value to the limit, both included (C.7.5.1.1.2)."""
    found = decode(
        encoded(of(RAMP, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095, PhotometricInterpretation="MONOCHROME1"))
    ).pixels.ravel()
    assert 0.0 == float(found[4000:].max())
    np.testing.assert_allclose(found[:4000], 1 - np.arange(4000) / 4095, atol=1e-6)


def test_padding_that_leaves_no_film_is_ignored_and_said() -> None:
    """A wrong limit must not blacken a film."""
    found = decode(encoded(of(RAMP, PixelPaddingValue=0, PixelPaddingRangeLimit=65535)))
    np.testing.assert_allclose(found.pixels, GREYS, atol=1e-6)
    assert found.notes


def test_bits_that_lie_high_in_their_cell() -> None:
    """High Bit 15 of 12 stored: ACR-NEMA films, and some that were converted."""
    np.testing.assert_allclose(decode(encoded(of(RAMP << 4, HighBit=15))).pixels, GREYS, atol=1e-6)


def test_signed_pixels_whose_sign_was_not_extended() -> None:
    """Bits above Bits Stored are no signal for signed cells either."""
    cells = ((RAMP.astype(np.int32) - 2048) & 0x0FFF).astype(np.int16)
    np.testing.assert_allclose(decode(encoded(of(cells))).pixels, GREYS, atol=1e-6)


@pytest.mark.parametrize(("factor", "bits"), [(1, 12), (1_000_000, 32)])
def test_thirty_two_bits(factor: int, bits: int) -> None:
    """By table where values are few, by pixel where they are not: never by a table of four thousand million."""
    found = decode(encoded(of(RAMP.astype(np.uint32) * factor, bits))).pixels
    np.testing.assert_allclose(found, RAMP.astype(np.float64) * factor / (2**bits - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"BitsStored": 20}, Reason.DECODE_FAILED),
        ({"BitsAllocated": 1, "BitsStored": 1}, Reason.DECODE_FAILED),
        ({"BitsAllocated": 12}, Reason.DECODE_FAILED),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.COLOUR),
        ({"Rows": 0}, Reason.NO_PIXELS),
        ({"PixelData": b""}, Reason.NO_PIXELS),
    ],
)
def test_declarations_that_no_radiograph_makes(changes: dict[str, Any], reason: Reason) -> None:
    """Refused by name, before decoding."""
    assert reason == refusal(of(RAMP, **changes)).reason


def test_pixels_of_floating_point_are_refused() -> None:
    """They belong to parametric maps."""
    dataset = of(RAMP)
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros((64, 64), np.float32).tobytes()
    refused = refusal(dataset)
    assert Reason.NO_PIXELS == refused.reason
    assert "integers" in refused.message


def test_compressed_pixels_under_a_native_name() -> None:
    """A wrong transfer syntax shows noise if nobody looks."""
    dataset = of(np.repeat(np.repeat(RAMP, 4, 0), 4, 1))
    dataset.compress(ts.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    data = encoded(dataset).replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    with pytest.raises(Refused, match="compressed") as caught:
        decode(data)
    assert Reason.DECODE_FAILED == caught.value.reason


def test_native_pixels_under_a_compressed_name() -> None:
    """The other way round."""
    data = encoded(of(RAMP)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    with pytest.raises(Refused) as caught:
        decode(data)
    assert Reason.DECODE_FAILED == caught.value.reason


@pytest.mark.parametrize("cut", [4, 30, 200])
@pytest.mark.parametrize("syntax", [ts.JPEG2000Lossless, ts.JPEGBaseline8Bit, ts.RLELossless])
def test_truncated_codestreams_are_refused(cut: int, syntax: ts.UID) -> None:
    """Before, in and after the markers that give the size."""
    if syntax == ts.JPEGBaseline8Bit:
        array = (RAMP >> 4).astype(np.uint8)
        dataset = framed(jpeg(array)[:cut], syntax, array, 8)
    else:
        dataset = of(RAMP)
        plugin = "pydicom" if syntax == ts.RLELossless else "pylibjpeg"
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame[:cut]])
    assert Reason.DECODE_FAILED == refusal(dataset).reason


def test_a_codestream_larger_than_its_header_is_refused_before_decoding() -> None:
    """A decoder allocates by the codestream: here 30,000 squared behind a header of 64 squared."""
    frame = bytearray(j2k(RAMP))
    at = frame.index(b"\xff\x51")
    huge = (30000).to_bytes(4, "big") * 2
    frame[at + 6 : at + 14], frame[at + 22 : at + 30] = huge, huge
    refused = refusal(framed(bytes(frame), ts.JPEG2000Lossless, RAMP, 12))
    assert Reason.DECODE_FAILED == refused.reason
    assert "30000 x 30000" in refused.message


def test_a_colour_codestream_behind_a_grey_header_is_colour() -> None:
    """The header's Samples per Pixel is not believed."""
    frame = jpeg(np.zeros((64, 64, 3), np.uint8))
    assert Reason.COLOUR == refusal(framed(frame, ts.JPEGBaseline8Bit, (RAMP >> 4).astype(np.uint8), 8)).reason


def test_the_size_of_codestreams() -> None:
    """Rows, columns, components of each kind that has them."""
    assert Matrix(40, 30, 1, 8) == matrix(jpeg(np.zeros((40, 30), np.uint8)))
    assert Matrix(40, 30, 3, 8) == matrix(jpeg(np.zeros((40, 30, 3), np.uint8), progressive=True))
    assert Matrix(64, 32, 1, 12) == matrix(j2k(RAMP[:, :32].copy()))
    assert Matrix(16, 16, 1, 16) == matrix(base64.b64decode(HTJ2K))


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    """ISO/IEC 10918-1 B.1.1.2."""
    frame = jpeg(np.zeros((40, 30), np.uint8))
    assert Matrix(40, 30, 1, 8) == matrix(frame[:2] + b"\xff\xff" + frame[2:])


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\x00\x00" * 9, bytes(64), b"\xff\xd8\xff\xe0\0\0"]
)
def test_what_has_no_size_says_none(data: bytes) -> None:
    """Then the decoder must say what is wrong."""
    assert matrix(data) is None
