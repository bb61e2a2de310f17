"""Pixels as a reader should see them, from every encoding a film comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom import uid as ts
from pydicom.encaps import encapsulate

from cxrd.errors import Reason, Refused
from cxrd.imaging.decode import decode
from cxrd.imaging.stored import MAX_PIXELS
from support.datasets import encoded, film, pixels

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def ramp(**changes: Any) -> Dataset:
    """A film of every 12-bit value once."""
    dataset = film()
    pixels(dataset, RAMP, bits_stored=12)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def shown(dataset: Dataset) -> NDArray[np.float32]:
    """Display values of a dataset."""
    return decode(encoded(dataset)).pixels


def refusal(data: bytes) -> Refused:
    """Why bytes are refused."""
    with pytest.raises(Refused) as caught:
        decode(data)
    return caught.value


def lut(first: int, entries: list[int], bits: int = 8) -> list[Dataset]:
    """A LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, np.uint16).tobytes()
    return [item]


def test_the_natural_range_without_window_or_lut() -> None:
    """Bits Stored gives the range, so 4095 of 12 bits is white."""
    np.testing.assert_allclose(shown(ramp()).ravel(), np.arange(4096) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        ("", 2048, (2048 - 2047.5) / 4095 + 0.5),
        ("LINEAR", 100, (100 - 2047.5) / 4095 + 0.5),
        ("LINEAR_EXACT", 1024, 0.25),
        ("SIGMOID", 2048, 0.5),
        ("SIGMOID", 3072, 1 / (1 + np.exp(-1))),
    ],
)
def test_windows_by_the_standards_formulas(function: str, value: int, expected: float) -> None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    dataset = ramp(WindowCenter=2048, WindowWidth=4096)
    if function:
        dataset.VOILUTFunction = function
    assert expected == pytest.approx(float(shown(dataset).ravel()[value]), abs=1e-5)


def test_a_narrow_window_clips_at_both_ends() -> None:
    """Width 201 around 2000."""
    found = shown(ramp(WindowCenter=2000, WindowWidth=201, RescaleSlope=1, RescaleIntercept=0)).ravel()
    # 95 % of this ramp is clipped, which is still under the share that makes a window absurd
    assert (0.0, 1.0) == (float(found[1800]), float(found[2200]))
    assert 0.0 < float(found[2000]) < 1.0


def test_the_first_of_several_windows_counts() -> None:
    """Others are alternatives for a reader's taste."""
    one = shown(ramp(WindowCenter=2048, WindowWidth=4096))
    several = shown(ramp(WindowCenter=[2048, 100], WindowWidth=[4096, 10]))
    np.testing.assert_array_equal(one, several)


def test_a_window_made_for_other_values_is_replaced() -> None:
    """A film must not come out black because of one wrong tag; the reader is told."""
    dataset = ramp(WindowCenter=60000, WindowWidth=100)
    found = decode(encoded(dataset))
    assert found.notes
    assert float(found.pixels.std()) > 0.2


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 32768, "WindowWidth": 65536}])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_a_film_shown_in_a_sliver_of_the_greys_is_stretched(window: dict[str, Any], photometric: str) -> None:
    """12 bits called 16 would come out black, or white; its polarity stays."""
    found = decode(encoded(ramp(BitsStored=16, HighBit=15, PhotometricInterpretation=photometric, **window)))
    assert found.notes
    assert (0.0, 1.0) == (float(found.pixels.min()), float(found.pixels.max()))
    assert (photometric == "MONOCHROME1") == bool(found.pixels[0, 0] > 0.5)


def test_a_film_of_one_value_is_left_alone() -> None:
    """There is nothing to stretch, and nothing to divide by."""
    dataset = film()
    pixels(dataset, np.full((64, 64), 7, np.uint16), bits_stored=12)
    found = decode(encoded(dataset))
    assert () == found.notes
    np.testing.assert_allclose(found.pixels, 7 / 4095, atol=1e-7)


def test_rescale_comes_before_the_window() -> None:
    """Slope 2 and intercept -100 move the window's middle to stored 1050."""
    dataset = ramp(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=2000.5, WindowWidth=4001)
    assert 0.5 == pytest.approx(float(shown(dataset).ravel()[1050]), abs=1e-3)


def test_a_modality_lut_wins_over_rescale() -> None:
    """C.11.1: the two are exclusive, and the table is the more exact."""
    dataset = ramp(ModalityLUTSequence=lut(0, [4095 - v for v in range(4096)], 12))
    np.testing.assert_allclose(shown(dataset).ravel(), 1 - np.arange(4096) / 4095, atol=1e-6)


def test_a_voi_lut_wins_over_a_window_and_clamps_outside() -> None:
    """Values below the first mapped take its entry, values above the last the last."""
    dataset = ramp(VOILUTSequence=lut(1000, [10, 200]), WindowCenter=1, WindowWidth=2)
    found = shown(dataset).ravel()
    np.testing.assert_allclose(found[[0, 1000, 1001, 4095]], np.array([10, 10, 200, 200]) / 255, atol=1e-6)


def test_a_voi_lut_that_cannot_be_read_is_ignored_and_said() -> None:
    """A short table is a fault of the sender; the film is still shown."""
    broken = lut(0, [1, 2, 3])
    broken[0].LUTDescriptor = [4096, 0, 12]
    found = decode(encoded(ramp(VOILUTSequence=broken)))
    assert found.notes
    assert 1.0 == float(found.pixels.max())


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_a_film_is_inverted_exactly_once(photometric: str, shape: str | None, inverted: bool) -> None:  # noqa: FBT001
    """Presentation LUT Shape decides, and MONOCHROME1 where it is absent."""
    dataset = ramp(PhotometricInterpretation=photometric, **({"PresentationLUTShape": shape} if shape else {}))
    assert inverted == bool(shown(dataset)[0, 0] > 0.5)


def test_padding_is_black_whatever_its_value() -> None:
    """Collimated borders must not set the range or shine."""
    array = RAMP.copy()
    array[:8] = 4095
    dataset = film(PixelPaddingValue=4095)
    pixels(dataset, array, bits_stored=12, photometric="MONOCHROME1")
    found = shown(dataset)
    assert 0.0 == float(found[:8].max())
    assert float(found[9].min()) > 0.5


def test_signed_pixels() -> None:
    """Two's complement in 12 of 16 bits."""
    dataset = film()
    pixels(dataset, RAMP.astype(np.int16) - 2048, bits_stored=12)
    np.testing.assert_allclose(shown(dataset).ravel(), np.arange(4096) / 4095, atol=1e-6)


def test_bits_above_bits_stored_are_no_signal() -> None:
    """Old systems kept overlays there."""
    dataset = film()
    pixels(dataset, RAMP | 0xF000, bits_stored=12)
    np.testing.assert_array_equal(shown(ramp()), shown(dataset))


def test_a_film_seen_from_the_wrong_side_is_marked() -> None:
    r"""R\F: image-left is the patient's left."""
    assert decode(encoded(ramp(PatientOrientation=["R", "F"]))).mirrored
    assert not decode(encoded(ramp())).mirrored


@pytest.mark.parametrize(
    ("orientation", "sided"), [(["L", "F"], True), (["R", "F"], True), (["F", "R"], False), (None, False), ("", False)]
)
def test_which_side_is_left_is_known_where_rows_run_from_side_to_side(
    orientation: list[str] | str | None, *, sided: bool
) -> None:
    """A third of real films state no orientation, and the rows of one on its side run to head or foot."""
    assert sided is decode(encoded(ramp(PatientOrientation=orientation or ""))).sided


def test_an_unknown_transfer_syntax_is_named() -> None:
    """The message carries the UID that a PACS administrator needs."""
    dataset = ramp()
    dataset.file_meta.TransferSyntaxUID = ts.JPEG2000Lossless
    dataset.PixelData = encapsulate([bytes(64)])
    refused = refusal(encoded(dataset).replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.99"))
    assert Reason.TRANSFER_SYNTAX == refused.reason
    assert "1.2.840.10008.1.2.4.99" in refused.message


def test_truncated_pixels_are_refused() -> None:
    """Half a film is no film."""
    data = encoded(ramp())
    assert Reason.DECODE_FAILED == refusal(data[:-3000]).reason


def test_broken_codestreams_are_refused() -> None:
    """A JPEG 2000 stream of noise."""
    dataset = ramp()
    dataset.compress(ts.JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    dataset.PixelData = encapsulate([bytes(500)])
    assert Reason.DECODE_FAILED == refusal(encoded(dataset)).reason


def test_a_bomb_is_refused_by_its_header() -> None:
    """Declared 65,535 squared: no memory is asked for."""
    refused = refusal(encoded(ramp(Rows=65535, Columns=65535)))
    assert Reason.TOO_LARGE == refused.reason
    assert 65535 * 65535 > MAX_PIXELS


@pytest.mark.parametrize("missing", ["PixelData", "Rows", "BitsStored"])
def test_missing_pixels_or_their_description(missing: str) -> None:
    """Named as having no pixels."""
    assert Reason.NO_PIXELS == refusal(encoded(ramp(**{missing: None}))).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", Reason.UNREADABLE), (b"hello" * 100, Reason.UNREADABLE), (b"\0" * 4096, Reason.UNREADABLE)],
)
def test_what_is_no_dicom_is_unreadable(data: bytes, reason: Reason) -> None:
    """An empty file, text, zeros."""
    assert reason == refusal(data).reason


@pytest.mark.parametrize("name", ["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "SIIM_"])
def test_real_films_are_the_right_way_round(films: Path, name: str) -> None:
    """Lungs dark, mediastinum bright: none of them is shown inverted."""
    (path,) = (films / "dicom").glob(f"{name}*")
    found = decode(path.read_bytes()).pixels
    rows, columns = found.shape
    lung = found[int(rows * 0.3) : int(rows * 0.5), int(columns * 0.2) : int(columns * 0.35)]
    spine = found[int(rows * 0.3) : int(rows * 0.8), int(columns * 0.47) : int(columns * 0.53)]
    assert float(np.median(lung)) + 0.15 < float(np.median(spine))
