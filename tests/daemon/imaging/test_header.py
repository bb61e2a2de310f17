"""Headers as they really come: bare, damaged, endless."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom import uid as ts

from cxrd.admission import judge
from cxrd.errors import Reason, Refused
from cxrd.imaging import header
from cxrd.imaging.decode import decode
from cxrd.imaging.film import as_dicom
from cxrd.imaging.header import items, read_header, read_object, text
from support.datasets import encoded, film, pixels

META_END = 132


def in_syntax(dataset: Dataset, syntax: ts.UID) -> bytes:
    """A Part 10 file in a native transfer syntax."""
    dataset.file_meta.TransferSyntaxUID = syntax
    return encoded(dataset)


def bare(data: bytes) -> bytes:
    """Only the data set of a Part 10 file."""
    return data[META_END + 12 + int.from_bytes(data[META_END + 8 : META_END + 12], "little") :]


@pytest.mark.parametrize("syntax", [ts.ImplicitVRLittleEndian, ts.ExplicitVRLittleEndian, ts.ExplicitVRBigEndian])
def test_a_bare_data_set_is_read_in_the_encoding_that_it_has(syntax: ts.UID) -> None:
    """No preamble and no meta information: PS3.10 was not followed, the film is still a film."""
    source = film()
    source.PixelData = source.pixel_array.astype(">u2" if syntax is ts.ExplicitVRBigEndian else "<u2").tobytes()
    data = in_syntax(source, syntax)
    found = read_header(bare(data))
    assert syntax == found.file_meta.TransferSyntaxUID
    assert source.SOPInstanceUID == found.SOPInstanceUID
    np.testing.assert_array_equal(decode(data).pixels, decode(bare(data)).pixels)


def test_meta_information_without_a_preamble_is_read() -> None:
    """The four letters are missing, the transfer syntax is not."""
    source = film()
    data = in_syntax(source, ts.ExplicitVRLittleEndian)
    assert source.SOPInstanceUID == read_header(data[META_END:]).SOPInstanceUID
    np.testing.assert_array_equal(decode(data).pixels, decode(as_dicom(data[META_END:], "film")).pixels)


def test_a_file_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    """By path or by content, deflated or not."""
    for syntax in (ts.ExplicitVRLittleEndian, ts.DeflatedExplicitVRLittleEndian):
        source = film()
        path = tmp_path / "film.dcm"
        path.write_bytes(in_syntax(source, syntax))
        assert (
            source.SOPInstanceUID == read_header(path).SOPInstanceUID == read_header(path.read_bytes()).SOPInstanceUID
        )
        assert syntax == read_header(path).file_meta.TransferSyntaxUID


def test_a_header_holds_no_pixels() -> None:
    """And the whole object does."""
    assert "PixelData" not in read_header(encoded(film()))
    assert "PixelData" in read_object(encoded(film()))


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "StudyInstanceUID", "SOPClassUID"])
def test_an_object_without_its_identity_is_refused(missing: str) -> None:
    """A result could not refer to it."""
    source = film()
    source.file_meta.MediaStorageSOPClassUID, source.file_meta.MediaStorageSOPInstanceUID = (
        ts.UID("1.2"),
        ts.UID("1.2.3"),
    )
    delattr(source, missing)
    buffer = BytesIO()
    source.save_as(buffer, implicit_vr=False, little_endian=True)
    with pytest.raises(Refused) as caught:
        read_header(buffer.getvalue())
    assert Reason.MISSING_UID == caught.value.reason


def test_a_file_that_is_not_there_is_no_refusal(tmp_path: Path) -> None:
    """The disk failed, not the film: someone may try again."""
    with pytest.raises(OSError, match="No such file"):
        read_header(tmp_path / "gone.dcm")


def test_a_deflated_bomb_is_refused_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand bytes may inflate to a million; a limit is kept while inflating."""
    source = film()
    pixels(source, np.zeros((400, 400), np.uint16), bits_stored=12)
    data = in_syntax(source, ts.DeflatedExplicitVRLittleEndian)
    assert len(data) < 5000
    monkeypatch.setattr(header, "MAX_INFLATED", 100_000)
    with pytest.raises(Refused) as caught:
        read_object(data)
    assert Reason.TOO_LARGE == caught.value.reason


def test_a_header_is_read_without_inflating_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its elements are there, however long the pixels are; a header that is itself too long is refused."""
    data = in_syntax(film(), ts.DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(header, "MAX_HEADER", 2000)
    assert read_object(data).SOPInstanceUID == read_header(data).SOPInstanceUID
    monkeypatch.setattr(header, "MAX_HEADER", 400)
    with pytest.raises(Refused) as caught:
        read_header(data)
    assert Reason.TOO_LARGE == caught.value.reason


def test_a_truncated_deflated_object_is_unreadable() -> None:
    """Half a stream has no end."""
    with pytest.raises(Refused) as caught:
        read_header(in_syntax(film(), ts.DeflatedExplicitVRLittleEndian)[:-40])
    assert Reason.UNREADABLE == caught.value.reason


def test_damaged_elements_tell_nothing() -> None:
    """Values are converted late: a bad element raises where it is used, not where it is read."""
    data = encoded(film(WindowCenter="100", ViewCodeSequence=[Dataset()]))
    element = (0x0028).to_bytes(2, "little") + (0x1050).to_bytes(2, "little")
    sequence = (0x0054).to_bytes(2, "little") + (0x0220).to_bytes(2, "little")
    found = read_header(data.replace(element + b"DS", element + b"DX").replace(sequence + b"SQ", sequence + b"US"))
    assert "" == text(found, "WindowCenter")
    assert () == items(found, "ViewCodeSequence")
    assert "PA" == judge(found).view


def test_several_values_and_blanks_as_text() -> None:
    """Stripped of padding, joined as DICOM joins them."""
    found = read_header(encoded(film(PatientOrientation=["L", "F"], ViewPosition="")))
    assert "L\\F" == text(found, "PatientOrientation")
    assert "" == text(found, "ViewPosition") == text(found, "KVP")


FILMS = [
    in_syntax(film(rows=200, columns=200, ViewCodeSequence=[Dataset()]), syntax)
    for syntax in (ts.ImplicitVRLittleEndian, ts.ExplicitVRLittleEndian, ts.DeflatedExplicitVRLittleEndian)
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FILMS),
    st.lists(st.tuples(st.integers(132, 1200), st.integers(0, 255)), min_size=1, max_size=6),
    st.none() | st.integers(0, 1500),
)
def test_no_damage_to_a_header_raises_anything_but_a_refusal(
    data: bytes, damage: list[tuple[int, int]], cut: int | None
) -> None:
    """Any bytes may change, any end may be missing: a named refusal or a film, never another error."""
    changed = bytearray(data)
    for place, value in damage:
        changed[place] = value
    sent = bytes(changed[:cut])
    for use in (lambda: judge(read_header(sent)), lambda: decode(sent), lambda: as_dicom(sent[132:], "film")):
        with suppress(Refused):
            use()


def test_a_bare_data_set_becomes_a_file_around_the_same_bytes() -> None:
    """Nothing is written anew, so nothing can be lost or refused in writing."""
    data = bare(in_syntax(film(), ts.ImplicitVRLittleEndian))
    made = as_dicom(data, "film")
    assert made.endswith(data)
    assert ts.ImplicitVRLittleEndian == dcmread(BytesIO(made)).file_meta.TransferSyntaxUID
