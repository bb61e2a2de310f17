"""Pictures on their way to becoming DICOM."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrd.admission import judge
from cxrd.errors import Reason, Refused
from cxrd.findings import View
from cxrd.imaging import film
from cxrd.imaging.decode import decode
from cxrd.imaging.film import as_dicom
from cxrd.imaging.header import read_header
from support.datasets import encoded
from support.datasets import film as dicom_film


def picture(array: np.ndarray[Any, Any], kind: str) -> bytes:
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


def drawn(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An encoded image."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(data: bytes) -> Reason:
    """Why a picture is refused."""
    with pytest.raises(Refused) as caught:
        as_dicom(data, "a.png")
    return caught.value.reason


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "P"])
def test_grey_is_grey_however_it_is_stored(mode: str) -> None:
    """Alpha, three channels, a palette of greys."""
    found = decode(as_dicom(drawn(Image.fromarray(GREY).convert(mode)), "a.png"))
    np.testing.assert_allclose(found.pixels, GREY / 255, atol=1e-6)


def test_a_picture_lies_as_its_camera_says() -> None:
    """EXIF orientation 6: rows of the file are columns of the film."""
    array = np.zeros((40, 60), np.uint8)
    array[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(as_dicom(drawn(Image.fromarray(array), "JPEG", exif=exif.tobytes()), "a.jpg")).pixels
    assert (60, 40) == found.shape
    assert float(found[:28].mean()) > 0.95
    assert float(found[32:].mean()) < 0.05


def test_a_wrapped_film_is_admitted_without_a_view() -> None:
    """A picture tells nothing of its projection, and that is no reason to refuse it."""
    array = np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8)
    admitted = judge(read_header(as_dicom(picture(array, "PNG"), "a.png")))
    assert View.UNKNOWN == admitted.view
    assert admitted.notes


def test_a_colour_photo_is_refused_by_admission_too() -> None:
    """Before anything is decoded."""
    photo = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    with pytest.raises(Refused) as caught:
        judge(read_header(as_dicom(picture(photo, "PNG"), "a.png")))
    assert Reason.COLOUR == caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_picture_is_unreadable_wherever_it_ends(kind: str, share: float) -> None:
    """Never half a film."""
    data = picture(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8), kind)
    assert Reason.UNREADABLE == refusal(data[: max(4, int(len(data) * share))])


def test_a_picture_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is declared, so nothing has to be decoded."""
    monkeypatch.setattr(film, "MAX_PIXELS", 1000)
    assert Reason.TOO_LARGE == refusal(picture(np.zeros((40, 40), np.uint8), "PNG"))


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(200), b"%PDF-1.4" + bytes(200)])
def test_other_files_are_unreadable(data: bytes) -> None:
    """Neither a picture that we take nor DICOM."""
    assert Reason.UNREADABLE == refusal(data)


def test_a_dicom_file_passes_unchanged() -> None:
    """Byte for byte: its hash is its name in the payload store."""
    data = encoded(dicom_film())
    assert data == as_dicom(data, "film.dcm")
