"""Encoders and decoders of other people, run as programs: dcmtk, OpenJPEG and OpenJPH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom import uid as ts
from pydicom.encaps import encapsulate

from support.datasets import encoded, film, pixels

Cells = NDArray[np.integer[Any]]


class Kind(NamedTuple):
    """Pixels of one sort: their bits, and the cells they lie in."""

    bits: int
    dtype: Any


KINDS = {
    "8 bit": Kind(8, np.uint8),
    "10 bit": Kind(10, np.uint16),
    "12 bit": Kind(12, np.uint16),
    "15 bit": Kind(15, np.uint16),
    "16 bit": Kind(16, np.uint16),
    "8 bit signed": Kind(8, np.int8),
    "12 bit signed": Kind(12, np.int16),
    "16 bit signed": Kind(16, np.int16),
}


def scene(kind: Kind) -> Cells:
    """Soft shapes with grain over nearly the whole range, of odd size: what codecs are made for, and nobody's chest."""
    rows, columns = np.mgrid[:61, :83]
    soft = (np.sin(rows / 9) * np.cos(columns / 13) + 1) / 2
    grain = np.random.default_rng(7).normal(0, 0.005, soft.shape)
    values = np.rint(np.clip(0.9 * soft + grain, 0, 1) * (2**kind.bits - 1))
    return np.asarray(values - (2 ** (kind.bits - 1) if np.dtype(kind.dtype).kind == "i" else 0), kind.dtype)


def of(cells: Cells, bits: int, **changes: Any) -> Dataset:
    """A native film of these cells."""
    made = film()
    pixels(made, cells, bits_stored=bits)
    made.PixelData += b"\0" * (len(made.PixelData) % 2)
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def framed(frame: bytes, syntax: ts.UID, cells: Cells, bits: int, *, fragments: int = 1) -> Dataset:
    """A film whose header describes ``cells`` and whose one frame lies in so many fragments."""
    made = of(cells, bits)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([frame], fragments_per_frame=fragments, has_bot=fragments == 1)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def converted(made: Dataset, folder: Path, tool: str, *options: str) -> Path:
    """A film after a program of dcmtk went over it."""
    source, target = folder / "in.dcm", folder / "out.dcm"
    source.write_bytes(encoded(made))
    run(tool, *options, source, target)
    return target


def native(path: Path, tool: str) -> Cells:
    """The cells of a compressed film as a decoder of dcmtk writes them."""
    target = path.with_suffix(".native.dcm")
    run(tool, path, target)
    found = dcmread(target)
    sign = "i" if found.PixelRepresentation else "u"
    cells = np.frombuffer(found.PixelData, f"<{sign}{found.BitsAllocated // 8}")
    return cells[: found.Rows * found.Columns].reshape(found.Rows, found.Columns)


def openjpeg(cells: Cells, bits: int, folder: Path, *options: str) -> tuple[bytes, Cells]:
    """A JPEG 2000 codestream, and what OpenJPEG's own program reads in it."""
    raw, stream, back = folder / "in.rawl", folder / "frame.j2k", folder / "back.rawl"
    raw.write_bytes(cells.tobytes())
    rows, columns = cells.shape
    shape = f"{columns},{rows},1,{bits},{'s' if cells.dtype.kind == 'i' else 'u'}"
    run("opj_compress", "-i", raw, "-o", stream, "-F", shape, *options, package="libopenjp2-tools")
    run("opj_decompress", "-i", stream, "-o", back, package="libopenjp2-tools")
    found = np.frombuffer(back.read_bytes(), cells.dtype).reshape(cells.shape)
    spare = cells.dtype.itemsize * 8 - bits
    return stream.read_bytes(), (found << spare) >> spare  # it leaves the sign of a narrow sample to its reader


def openjph(cells: Cells, bits: int, folder: Path, *options: str) -> tuple[bytes, Cells]:
    """An HTJ2K codestream of unsigned cells, and what OpenJPH's own program reads in it."""
    raw, stream, back = folder / "in.yuv", folder / "frame.j2c", folder / "back.yuv"
    raw.write_bytes(cells.tobytes())
    rows, columns = cells.shape
    shape = ("-dims", f"{{{columns},{rows}}}", "-num_comps", "1", "-signed", "false", "-downsamp", "{1,1}")
    depth = ("-bit_depth", str(bits))
    run("ojph_compress", "-i", raw, "-o", stream, *shape, *depth, *options, package="openjph-tools")
    run("ojph_expand", "-i", stream, "-o", back, package="openjph-tools")
    return stream.read_bytes(), np.frombuffer(back.read_bytes(), cells.dtype).reshape(cells.shape)


def run(*command: str | Path, package: str = "dcmtk") -> None:
    """Run a program; the test skips with its install line where it is missing."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {package}: apt-get install {package}")
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, (command, found.stdout, found.stderr)
