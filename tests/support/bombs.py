"""Small objects that ask for a lot: of memory, of time, or of a parser's stack."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from pydicom import uid as ts
from pydicom.encaps import encapsulate, generate_frames

from cxrd.pipeline import Plan
from cxrd.work.decoding import Outcome, read_and_prepare
from support.datasets import encoded, film, pixels

ITEM, ENDLESS_ITEM = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
FRAGMENT = b"\xfe\xff\x00\xe0\x02\0\0\0ab"
UNDEFINED = 0xFFFFFFFF
SIDE = 9999
"""Rows and columns whose product is just below the largest film's."""


def weighed(path: Path, plan: Plan) -> Outcome:
    """Prepare a film in a decode process and leave its highest resident memory, in KiB, beside the film."""
    outcome = read_and_prepare(path, plan)
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    path.with_suffix(".peak").write_text(peak)
    return outcome


def element(group: int, number: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    """An explicit little endian element of a long VR, whatever its length says of its value."""
    return struct.pack("<HH2s2xI", group, number, vr, length) + value


def with_element(wanted: bytes, *, pixels_follow: bool = True) -> bytes:
    """A film with one more element before its pixels, or in their place."""
    source = film()
    whole = encoded(source)
    at = whole.index(element(0x7FE0, 0x0010, b"OW", len(source.PixelData)))
    return whole[:at] + wanted + (whole[at:] if pixels_follow else bytes(100))


def nested(depth: int) -> bytes:
    """Sequences in sequences, none of which ends."""
    return (element(0x0040, 0x0275, b"SQ", UNDEFINED) + ENDLESS_ITEM) * depth


def compressed(syntax: ts.UID, data: bytes, *, rows: int = 256, columns: int = 256, bits: int = 12) -> bytes:
    """A film whose pixel data is this."""
    made = film()
    pixels(made, np.zeros((4, 4), np.uint16 if bits > 8 else np.uint8), bits_stored=bits)
    made.Rows, made.Columns = rows, columns
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = data
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return encoded(made)


def deflated(gigabytes: float) -> bytes:
    """A film whose pixels are zeros, deflated to a thousandth."""
    made = film()
    made.file_meta.TransferSyntaxUID = ts.DeflatedExplicitVRLittleEndian
    whole, plain = encoded(made), encoded(film())
    meta_end = 144 + int.from_bytes(whole[140:144], "little")
    start = 144 + int.from_bytes(plain[140:144], "little")
    end = plain.index(element(0x7FE0, 0x0010, b"OW", len(made.PixelData)))
    deflator = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    begun = deflator.compress(plain[start:end] + element(0x7FE0, 0x0010, b"OW", UNDEFINED - 1))
    begun += deflator.flush(zlib.Z_FULL_FLUSH)
    megabyte = deflator.compress(bytes(2**20)) + deflator.flush(zlib.Z_FULL_FLUSH)  # a block that may be repeated
    return whole[:meta_end] + begun + megabyte * int(gigabytes * 1024) + deflator.flush()


def jpeg(marker: int, table: bytes, precision: int) -> bytes:
    """A JPEG frame of one component that declares the largest film and holds nothing."""
    size = struct.pack(">BHHB", precision, SIDE, SIDE, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff" + bytes([marker]) + b"\x00\x0b" + size + b"\xff\xda\x00\x08\x01\x01" + table + bytes(100)


def j2k(*, size: int, offset: int = 0, tile: int = 0) -> bytes:
    """A JPEG 2000 codestream of 256 x 256 whose own size, offset and tile are written over."""
    made = film()
    pixels(made, np.zeros((256, 256), np.uint16), bits_stored=12)
    made.compress(ts.JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    frame = bytearray(next(generate_frames(made.PixelData, number_of_frames=1)))
    at = frame.index(b"\xff\x51")
    for place, value in ((6, size), (14, offset), (22, tile)):
        if value:
            frame[at + place : at + place + 8] = struct.pack(">II", value, value)
    return bytes(frame)


def run_lengths() -> bytes:
    """Two segments that end at once, behind a header of the largest film."""
    return struct.pack("<16I", 2, 64, 128, *[0] * 13) + b"\x81\0" * 1000


ALL = {
    "65,535 squared": lambda: encoded(film(Rows=65535, Columns=65535)),
    "two thousand million frames": lambda: encoded(film(NumberOfFrames=2**31 - 1)),
    "pixels of two gigabytes": lambda: with_element(element(0x7FE0, 0x0010, b"OW", 0x7FFFFFF0), pixels_follow=False),
    "a private element of two gigabytes": lambda: with_element(element(0x0029, 0x1001, b"OB", 0x7FFFFFF0)),
    "a private element without end": lambda: with_element(element(0x0029, 0x1001, b"OB", UNDEFINED)),
    "a million items without a length": lambda: with_element(element(0x0040, 0x0275, b"SQ", UNDEFINED, ITEM * 10**6)),
    "a million items of a length": lambda: with_element(element(0x0028, 0x3010, b"SQ", 8 * 10**6, ITEM * 10**6)),
    "nested a thousand deep": lambda: with_element(nested(1000)),
    "nested a hundred thousand deep": lambda: with_element(nested(100_000)),
    "a million fragments": lambda: compressed(ts.JPEG2000Lossless, ITEM + FRAGMENT * 10**6),
    "two million empty fragments": lambda: compressed(ts.RLELossless, ITEM * 2 * 10**6),
    "deflated zeros": lambda: deflated(0.75),
    "run lengths of the largest film": lambda: compressed(
        ts.RLELossless, encapsulate([run_lengths()]), rows=SIDE, columns=SIDE
    ),
    "JPEG of the largest film": lambda: compressed(
        ts.JPEGBaseline8Bit, encapsulate([jpeg(0xC0, b"\0\0\x3f\0", 8)]), rows=SIDE, columns=SIDE, bits=8
    ),
    "lossless JPEG of the largest film": lambda: compressed(
        ts.JPEGLosslessSV1, encapsulate([jpeg(0xC3, b"\0\x01\0\0", 12)]), rows=SIDE, columns=SIDE
    ),
    "JPEG-LS of the largest film": lambda: compressed(
        ts.JPEGLSLossless, encapsulate([jpeg(0xF7, b"\0\0\0\0", 12)]), rows=SIDE, columns=SIDE
    ),
    "JPEG 2000 of the largest film": lambda: compressed(
        ts.JPEG2000Lossless, encapsulate([j2k(size=SIDE, tile=SIDE)]), rows=SIDE, columns=SIDE
    ),
    "JPEG 2000 of many tiles": lambda: compressed(
        ts.JPEG2000Lossless, encapsulate([j2k(size=SIDE)]), rows=SIDE, columns=SIDE
    ),
    "JPEG 2000 of four thousand million squared": lambda: compressed(
        ts.JPEG2000Lossless, encapsulate([j2k(size=0xFFFFFFF0)])
    ),
    "JPEG 2000 far from its origin": lambda: compressed(
        ts.JPEG2000Lossless, encapsulate([j2k(size=2**28, offset=2**28 - 256, tile=2**28)])
    ),
}
"""Each bomb by its name; made when it is asked for."""
