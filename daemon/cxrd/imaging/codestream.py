"""What a compressed frame says of itself, read before any decoder may believe it.

A decoder allocates by the codestream's own size and not by the header's, so a few hundred bytes can ask for
gigabytes. The first marker segment is enough to refuse them.
"""

from __future__ import annotations

from typing import NamedTuple

JPEG_START = b"\xff\xd8"
J2K_SIZE = b"\xff\x4f\xff\x51"
"""Start of codestream and image size markers, always adjacent (ISO/IEC 15444-1 A.4.1, A.5.1)."""

NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""DHT, JPG and DAC lie among the start-of-frame markers (ISO/IEC 10918-1 table B.1)."""
JPEG_LS_FRAME = 0xF7


class Matrix(NamedTuple):
    """Size of a codestream in pixels, its components, and the bits of a sample."""

    rows: int
    columns: int
    components: int
    bits: int


def matrix(frame: bytes) -> Matrix | None:
    """Read the size of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame; None where it does not say (RLE, or damaged)."""
    at = frame.find(J2K_SIZE, 0, 512)  # some senders keep the boxes of a JP2 file before it
    if 0 <= at <= len(frame) - 43:
        x, y, x0, y0 = (_number(frame, at + 8 + 4 * n, 4) for n in range(4))
        return Matrix(y - y0, x - x0, _number(frame, at + 40, 2), (frame[at + 42] & 0x7F) + 1)
    return _jpeg(frame) if frame.startswith(JPEG_START) else None


def _jpeg(frame: bytes) -> Matrix | None:
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif (0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES) or marker == JPEG_LS_FRAME:
            rows, columns = _number(frame, at + 5, 2), _number(frame, at + 7, 2)
            return Matrix(rows, columns, frame[at + 9], frame[at + 4]) if rows and columns else None
        else:
            at += 2 + _number(frame, at + 2, 2)
    return None


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
