"""A model's input, the same in training and in service."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cxrd.errors import Reason, Refused
from cxrd.imaging.decode import decode
from cxrd.imaging.film import as_dicom
from cxrd.imaging.header import read_header
from cxrd.imaging.preprocess import Preprocess, apply, display


@pytest.mark.parametrize("name", ["plain", "dicom_clahe"])
@pytest.mark.parametrize("shape", [(64, 64), (500, 300), (20, 90)])
def test_shape_type_and_range(name: str, shape: tuple[int, int]) -> None:
    """Whatever comes in, float32 (1, H, W) in 0..1 goes out."""
    film = np.random.default_rng(0).random(shape, np.float32)
    found = apply(Preprocess.model_validate({"id": name, "height": 64, "width": 48}), film)
    assert (1, 64, 48) == found.shape
    assert np.float32 == found.dtype
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_resizing_by_area_keeps_the_mean() -> None:
    """No aliasing: a fine checkerboard becomes grey."""
    board = (np.indices((256, 256)).sum(0) % 2).astype(np.float32)
    np.testing.assert_allclose(apply(Preprocess(id="plain", height=64, width=64), board), 0.5, atol=1e-6)


def test_a_film_of_one_value_does_not_divide_by_zero() -> None:
    """A blank exposure is still an input."""
    found = apply(Preprocess(id="dicom_clahe", height=32, width=32), np.full((64, 64), 0.3, np.float32))
    assert np.isfinite(found).all()


def test_the_preview_keeps_the_aspect_and_never_grows() -> None:
    """A reader's picture, not a model's."""
    assert (100, 50) == display(np.zeros((1000, 500), np.float32), 100).shape
    assert (30, 20) == display(np.zeros((30, 20), np.float32), 100).shape


def picture(array: np.ndarray, kind: str) -> bytes:
    """An encoded picture."""
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def test_a_grey_picture_goes_the_way_of_dicom() -> None:
    """PNG of 8 bit in, the same values out; the same picture is always the same study."""
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    first, second = (as_dicom(picture(array, "PNG"), "a.png") for _ in range(2))
    np.testing.assert_allclose(decode(first).pixels, array / 255, atol=1e-6)
    assert read_header(first).StudyInstanceUID == read_header(second).StudyInstanceUID


def test_sixteen_bits_survive() -> None:
    """A PNG of a detector."""
    array = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    np.testing.assert_allclose(decode(as_dicom(picture(array, "PNG"), "a.png")).pixels, array / 65535, atol=1e-6)


def test_grey_in_three_channels_is_grey_and_colour_is_refused() -> None:
    """Many archives keep films as RGB; a photograph is none."""
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert (16, 16) == decode(as_dicom(picture(grey, "JPEG"), "a.jpg")).pixels.shape
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with pytest.raises(Refused) as caught:
        decode(as_dicom(picture(photo, "PNG"), "a.png"))
    assert Reason.COLOUR == caught.value.reason


def test_a_broken_picture_is_unreadable() -> None:
    """Truncated after the signature."""
    with pytest.raises(Refused) as caught:
        as_dicom(picture(np.zeros((64, 64), np.uint8), "PNG")[:60], "a.png")
    assert Reason.UNREADABLE == caught.value.reason
