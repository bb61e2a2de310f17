"""The grey steps against pydicom's own, which are slow, float64 and independent."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import ExplicitVRBigEndian

from cxrd.imaging import display
from cxrd.imaging.decode import decode
from support.datasets import encoded, film, pixels

EVERY = np.arange(4096, dtype=np.uint16)


def header(**values: object) -> Dataset:
    """A 12-bit unsigned film's pixel facts."""
    dataset = Dataset()
    dataset.BitsStored, dataset.BitsAllocated, dataset.PixelRepresentation = 12, 16, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def table(entries: list[int], first: int, bits: int) -> list[Dataset]:
    """A LUT sequence that pydicom reads as numbers."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


LUTS = st.tuples(st.lists(st.integers(0, 65535), min_size=2, max_size=60), st.integers(0, 4095), st.just(16))
"""pydicom's own modality step takes no other depth; others are tested by value."""


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.floats(-5000, 9000),
    st.floats(1.5, 9000),
)
def test_windows_are_pydicoms(function: str, centre: float, width: float) -> None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, any centre and width."""
    dataset = header(WindowCenter=f"{centre:.6f}", WindowWidth=f"{width:.6f}", VOILUTFunction=function)
    with np.errstate(over="ignore"):  # of pydicom's, far from the centre of a narrow sigmoid
        expected = apply_windowing(EVERY, dataset) / 4095
    step = display.voi(dataset, display.modality(dataset, 12, signed=False)).step
    np.testing.assert_allclose(step(EVERY.astype(np.float64)), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(-3000, 3000))
def test_rescaling_is_pydicoms(slope: int, intercept: int) -> None:
    """PS3.3 C.11.1.1.2."""
    dataset = header(RescaleSlope=slope, RescaleIntercept=intercept)
    found = display.modality(dataset, 12, signed=False)
    expected = apply_modality_lut(EVERY, dataset)
    np.testing.assert_allclose(found.step(EVERY.astype(np.float64)), expected)
    assert (float(expected.min()), float(expected.max())) == (found.low, found.high)


@settings(max_examples=60, deadline=None)
@given(LUTS)
def test_tables_are_pydicoms(lut: tuple[list[int], int, int]) -> None:
    """PS3.3 C.11.1.1.1 and C.11.2.1.1: any table, anywhere in the range."""
    entries, first, bits = lut
    as_modality = header(ModalityLUTSequence=table(entries, first, bits))
    as_voi = header(VOILUTSequence=table(entries, first, bits))
    values = EVERY.astype(np.float64)
    np.testing.assert_allclose(
        display.modality(as_modality, 12, signed=False).step(values), apply_modality_lut(EVERY, as_modality)
    )
    step = display.voi(as_voi, display.modality(as_voi, 12, signed=False)).step
    np.testing.assert_allclose(step(values) * (2**bits - 1), apply_voi_lut(EVERY, as_voi))


def shown(dataset: Dataset) -> NDArray[np.float32]:
    """Display values, one dimension."""
    return decode(encoded(dataset)).pixels.ravel()


@pytest.mark.parametrize("lowest", [-2048, 0])
def test_the_first_value_mapped_is_signed_as_the_pixels_are(lowest: int) -> None:
    """Written as US 63488 it is -2048, also on a film whose own values all lie above zero."""
    dataset = film()
    array = np.clip(np.arange(4096) - 2048, lowest, None).astype(np.int16)
    pixels(dataset, array.reshape(64, 64), bits_stored=12)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 63488, 12])
    item.add_new("LUTData", "OW", np.arange(4096, dtype=np.uint16).tobytes())
    dataset.VOILUTSequence = [item]
    np.testing.assert_allclose(shown(dataset), (array + 2048) / 4095, atol=1e-6)


def test_a_big_endian_table_is_read_big_endian() -> None:
    """PS3.5 6.2: OW is swapped with the rest, and pydicom leaves that to its caller."""
    dataset = film()
    pixels(dataset, EVERY.reshape(64, 64), bits_stored=12)
    dataset["PixelData"].value = EVERY.astype(">u2").tobytes()
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", EVERY.astype(">u2").tobytes())
    dataset.VOILUTSequence = [item]
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    np.testing.assert_allclose(shown(dataset), EVERY / 4095, atol=1e-6)


def test_a_table_of_bytes() -> None:
    """Eight bits an entry, packed two to a word (C.11.2.1.1)."""
    dataset = film()
    pixels(dataset, np.arange(256, dtype=np.uint8).reshape(16, 16), bits_stored=8)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 8])
    item.add_new("LUTData", "OW", bytes(reversed(range(256))))
    dataset.VOILUTSequence = [item]
    np.testing.assert_allclose(shown(dataset), np.arange(255, -1, -1) / 255, atol=1e-6)


def test_a_descriptor_that_claims_too_few_bits_is_corrected_by_the_table() -> None:
    """12-bit entries under a descriptor of 8 would show nearly all of a film white."""
    dataset = film()
    pixels(dataset, EVERY.reshape(64, 64), bits_stored=12)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 8])
    item.add_new("LUTData", "OW", EVERY.tobytes())
    dataset.VOILUTSequence = [item]
    np.testing.assert_allclose(shown(dataset), EVERY / 4095, atol=1e-6)


def test_a_modality_table_that_cannot_be_read_is_ignored_and_said() -> None:
    """As a VOI LUT is."""
    dataset = film(ModalityLUTSequence=table([1, 2], 0, 12))
    dataset.ModalityLUTSequence[0].LUTDescriptor = [4096, 0, 12]
    assert decode(encoded(dataset)).notes


def test_a_slope_of_nothing_is_no_slope() -> None:
    """It would leave one grey."""
    dataset = film(RescaleSlope=0, RescaleIntercept=0)
    np.testing.assert_array_equal(shown(film()), shown(dataset))


def test_real_headers_read_as_numbers() -> None:
    """Blank, missing, several, and what is no number."""
    found = dcmread(BytesIO(encoded(film(WindowCenter=["1.5", "2"], WindowWidth=""))))
    assert (1.5, None, None) == tuple(display.number(found, k) for k in ("WindowCenter", "WindowWidth", "KVP"))
    assert display.named_window(found) is None
