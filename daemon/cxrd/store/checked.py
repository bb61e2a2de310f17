"""Payload bytes from a local file, held against the name that they are kept under."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cxrd.errors import PayloadLost


def read_payload(path: Path) -> bytes:
    """Bytes of a payload file, whose name is their sha256.

    Raises
    ------
    PayloadLost
        The file is missing, unreadable, or its bytes have changed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PayloadLost(path.name, "is missing") from None
    except OSError as error:
        raise PayloadLost(path.name, f"cannot be read: {error.strerror}") from error
    if sha256(data).hexdigest() != path.name:
        raise PayloadLost(path.name, "has been altered on disk")
    return data
