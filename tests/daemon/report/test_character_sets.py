"""Names in the alphabets of PS3.3 C.12.1.1.2, from a film's bytes to every object, read back by others.

The films' bytes are not pydicom's work: ISO 2022 ones are written out as in PS3.5 annexes H to K, the others made by
Python's codecs.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files

from cxrd import report
from cxrd.findings import Artefact, ArtefactKind
from cxrd.imaging.header import read_header
from cxrd.report.header import shim
from support.analyses import FACTS, analysis, previews
from support.datasets import encoded, film
from support.validators import dsrdump

NAME, TITLE = b"N" * 64, b"T" * 64
JIS, ASCII, KATAKANA, HANGUL, JIS2, GB = b"\x1b$B", b"\x1b(B", b"\x1b(J", b"\x1b$)C", b"\x1b$(D", b"\x1b$)A"


class Case(NamedTuple):
    """A character set with a name and a study description in it, as bytes and as letters; and who reads it right.

    Debian's dcmtk converts by glibc's iconv, which knows no JIS under ISO 2022 names and no GB 2312 after an escape;
    pydicom leaves the escapes of the latter in the text.
    """

    declared: str | list[str]
    name: bytes
    title: bytes
    letters: str
    words: str
    dcmtk: bool = True
    pydicom: bool = True


def plain(declared: str, codec: str, letters: str, words: str) -> Case:
    """A set without escape sequences."""
    return Case(declared, letters.encode(codec), words.encode(codec), letters, words)


CASES = {
    "latin 1": plain("ISO_IR 100", "latin-1", "Müller^Jörg", "Größe"),
    "latin 2": plain("ISO_IR 101", "iso8859-2", "Wałęsa^Łukasz", "płuca"),
    "latin 3": plain("ISO_IR 109", "iso8859-3", "Żammit^Ġorġ", "Ħ"),
    "latin 4": plain("ISO_IR 110", "iso8859-4", "Bērziņš^Jānis", "krūtis"),
    "cyrillic": plain("ISO_IR 144", "iso8859-5", "Люкceмбypг^Иван", "грудь"),
    "arabic": plain("ISO_IR 127", "iso8859-6", "قباني^لنزار", "صدر"),
    "greek": plain("ISO_IR 126", "iso8859-7", "Διονυσιος^Αννα", "θώρακας"),
    "hebrew": plain("ISO_IR 138", "iso8859-8", "שרון^דבורה", "חזה"),
    "latin 5": plain("ISO_IR 148", "iso8859-9", "Çavuşoğlu^Şirin", "göğüs"),
    "thai": plain("ISO_IR 166", "tis-620", "สมชาย^ใจดี", "ทรวงอก"),
    "utf-8": plain("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小東", "胸部"),
    # trail bytes of 乛 and 俓 are those of ^ and of the backslash that parts values
    "gb18030": plain("GB18030", "gb18030", "Wang^XiaoDong=王^小东乛俓", "胸片淺"),
    "gbk": plain("GBK", "gbk", "Wang^XiaoDong=王^小东乛俓", "胸片淺"),
    "katakana": plain("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ｷｮｳﾌﾞ"),
    "kanji": Case(  # PS3.5 H.3.1
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=" + JIS + b"\x3b\x33\x45\x44" + ASCII + b"^" + JIS + b"\x42\x40\x4f\x3a" + ASCII
        + b"=" + JIS + b"\x24\x64\x24\x5e\x24\x40" + ASCII + b"^" + JIS + b"\x24\x3f\x24\x6d\x24\x26" + ASCII,
        JIS + b"\x3b\x33" + ASCII + b" CXR",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "山 CXR",
        dcmtk=False,
    ),
    "katakana and kanji": Case(  # PS3.5 H.3.2
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + JIS + b"\x3b\x33\x45\x44" + KATAKANA + b"^" + JIS + b"\x42\x40\x4f\x3a"
        + KATAKANA + b"=" + JIS + b"\x24\x64\x24\x5e\x24\x40" + KATAKANA + b"^" + JIS + b"\x24\x3f\x24\x6d\x24\x26"
        + KATAKANA,
        b"\xb7\xae\xb3\xcc\xde" + JIS + b"\x3b\x33" + KATAKANA,
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        "ｷｮｳﾌﾞ山",
        dcmtk=False,
    ),
    "supplementary kanji": Case(  # row 16 of JIS X 0212
        ["", "ISO 2022 IR 87", "ISO 2022 IR 159"],
        b"Yamada^Tarou=" + JIS2 + b"\x30\x21" + ASCII + b"^" + JIS + b"\x42\x40\x4f\x3a" + ASCII,
        JIS2 + b"\x30\x21" + ASCII,
        "Yamada^Tarou=丂^太郎",
        "丂",
        dcmtk=False,
    ),
    "hangul": Case(  # PS3.5 I.2
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=" + HANGUL + b"\xfb\xf3^" + HANGUL + b"\xd1\xce\xd4\xd7=" + HANGUL + b"\xc8\xab^" + HANGUL
        + b"\xb1\xe6\xb5\xbf",
        HANGUL + b"\xc8\xe4\xba\xce",
        "Hong^Gildong=洪^吉洞=홍^길동",
        "흉부",
    ),
    "hanzi": Case(  # PS3.5 K.2
        ["", "ISO 2022 IR 58"],
        b"Zhang^XiaoDong=" + GB + b"\xd5\xc5^" + GB + b"\xd0\xa1\xb6\xab=",
        GB + b"\xd0\xd8\xc6\xac",
        "Zhang^XiaoDong=张^小东",
        "胸片",
        dcmtk=False,
        pydicom=False,
    ),
}  # fmt: skip


def source_of(case: Case) -> bytes:
    """A film with these bytes in its names and its study description."""
    plain_film = film(SpecificCharacterSet=case.declared, PatientName=NAME.decode(), StudyDescription=TITLE.decode())
    plain_film.ReferringPhysicianName = NAME.decode()
    return encoded(plain_film).replace(NAME, case.name.ljust(64)).replace(TITLE, case.title.ljust(64))


def objects(data: bytes) -> tuple[Artefact, ...]:
    """Every kind of object that is made of a film."""
    source = read_header(data)
    return report.build(
        analysis(source),
        {source.SOPInstanceUID: source},
        previews(source),
        sends=[frozenset(ArtefactKind)],
        facts=FACTS,
        now=datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC),
    )


def read_by_pydicom(data: bytes) -> tuple[str, str, str]:
    """Patient, referring physician, study."""
    found: Dataset = dcmread(BytesIO(data))
    said = (found.PatientName, found.ReferringPhysicianName, found.StudyDescription)
    patient, physician, study = (str(value).rstrip(" ^=") for value in said)
    return patient, physician, study


def read_by_dcmtk(data: bytes, folder: Path) -> list[str]:
    """The same, as dcmtk converts it to UTF-8."""
    if shutil.which("dcmdump") is None:
        pytest.skip("needs dcmtk: apt-get install dcmtk")
    path = folder / "read.dcm"
    path.write_bytes(data)
    tags = [word for tag in ("0010,0010", "0008,0090", "0008,1030") for word in ("+P", tag)]
    found = subprocess.run(["dcmdump", "+U8", *tags, path], capture_output=True, check=False)
    assert b"" == found.stderr
    lines = found.stdout.decode().splitlines()
    return [line[line.index("[") + 1 : line.rindex("]")].rstrip(" ^=") for line in lines]


@pytest.mark.parametrize("name", CASES)
def test_names_survive_in_every_object(tmp_path: Path, name: str) -> None:
    """The film's letters, told by pydicom and by dcmtk; where they read the film right, it is the same."""
    case = CASES[name]
    data = source_of(case)
    expected = (case.letters, case.letters, case.words)
    if case.pydicom:
        assert expected == read_by_pydicom(data)
    if case.dcmtk:
        assert list(expected) == read_by_dcmtk(data, tmp_path)
    made = objects(data)
    assert dict.fromkeys(ArtefactKind, expected) == {a.kind: read_by_pydicom(a.data) for a in made}
    assert {kind: list(expected) for kind in ArtefactKind} == {a.kind: read_by_dcmtk(a.data, tmp_path) for a in made}
    for artefact in (a for a in made if a.kind.is_report):
        assert case.letters in dsrdump(artefact, tmp_path)[0]


@pytest.mark.parametrize("path", get_charset_files("*.dcm"), ids=lambda path: Path(path).stem)
def test_names_that_others_wrote_survive(path: str) -> None:
    """Pydicom's collection of files in many character sets."""
    theirs = dcmread(path)
    expected = str(theirs.get("PatientName", "")).rstrip(" ^=")
    assert expected == str(shim(dcmread(path), "ISO_IR 100").PatientName).rstrip(" ^=")
