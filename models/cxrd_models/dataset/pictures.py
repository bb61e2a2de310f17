"""Reads each film once: its bytes' hash, its size, and the little picture by which copies of it are known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrd.errors import CxrdError
from cxrd.imaging.decode import decode
from cxrd.imaging.preprocess import display
from cxrd.imaging.upright import upright
from cxrd_models.data.films import greys
from cxrd_models.errors import DataError
from cxrd_models.writing import writing

PICTURES = frozenset({".png", ".jpg", ".jpeg"})
DICOM = frozenset({".dcm", ".dicom", ".dic"})
SIDE = 32
"""Side of the little picture: enough to tell two chests apart, too little for a recompression to show."""

RENDERED = "films"
LONGER_SIDE = 1024
_HINT = "mend or remove the file; no film is ever left out silently"


@dataclass(frozen=True, slots=True)
class Picture:
    """What one file holds.

    Attributes
    ----------
    sha256 : str
        Hash (hex) of the file's bytes.
    width, height : int
        Pixels.
    small : uint8 [32, 32]
        The film by area.
    """

    sha256: str
    width: int
    height: int
    small: NDArray[np.uint8]


def find_films(folder: Path) -> list[Path]:
    """Every picture and DICOM file below a folder, by name; hidden ones are left alone.

    Raises
    ------
    DataError
        The folder is missing or holds none, or a name is no text.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    found = sorted(path for path in folder.rglob("*") if not hidden(path, folder) and is_film(path) and path.is_file())
    if not found:
        raise DataError(f"{folder} holds no film", hint="films are .png, .jpg, .jpeg or DICOM files")
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            told = f"the name of {str(path)!a} is not UTF-8, and no table can hold it"
            raise DataError(
                told, hint="rename it; for a whole folder: convmv -r -f latin1 -t utf8 --notest DIR"
            ) from None
    return found


def hidden(path: Path, folder: Path) -> bool:
    """Whether a file or folder, or one that it lies in below ``folder``, is what a system keeps for itself."""
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


def is_film(path: Path) -> bool:
    """Whether a name is one of a film; a DICOM file often has no ending, and then begins with its preamble."""
    return path.suffix.lower() in PICTURES or is_dicom(path)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending or, where it has none that says so, by its preamble."""
    if path.suffix.lower() in DICOM:
        return True
    if path.name.upper() == "DICOMDIR":  # the index of a disc, no film
        return False
    if path.suffix.lower() in PICTURES or (path.suffix and not path.suffix[1:].isdigit()) or not path.is_file():
        return False  # the last part of a UID looks like an ending of digits
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def look(path: Path) -> Picture:
    """Read one picture whole, so that a truncated one is found now and not in the middle of a training.

    Raises
    ------
    DataError
        The file is missing or cannot be decoded.
    """
    try:
        data = path.read_bytes()
        grey = np.rint(greys(data, path.name) * 255).astype(np.uint8)
    except (OSError, DataError) as fault:
        raise DataError(f"{path} cannot be read: {fault}", hint=_HINT) from fault
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return Picture(sha256(data).hexdigest(), grey.shape[1], grey.shape[0], np.asarray(small, np.uint8))


def look_all(
    paths: Sequence[Path], advance: Callable[[], object] = lambda: None, workers: int | None = None
) -> tuple[Picture, ...]:
    """Every picture, in order, several at once; ``advance`` is called after each. Raises as :func:`look`."""
    found = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            for picture in pool.map(look, paths):
                found.append(picture)
                advance()
        except DataError:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(found)


def render(path: Path, out: Path) -> Path:
    """Write a DICOM film as models are shown it in the daemon: 8-bit PNG, no header, named by its pixels' hash.

    Raises
    ------
    DataError
        The object is no film that can be decoded.
    """
    pixels = display(upright_pixels(path), LONGER_SIDE)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = buffer.getvalue()
    target = out / RENDERED / f"{sha256(pixels.tobytes()).hexdigest()[:32]}.png"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        beside.write_bytes(data)
        beside.replace(target)
    return target


def upright_pixels(path: Path) -> NDArray[np.float32]:
    """Decode a DICOM film and put it right, 0..1 (rows, columns). Raises as :func:`render`."""
    try:
        return upright(decode(path.read_bytes())).pixels
    except (OSError, CxrdError) as fault:
        raise DataError(f"{path} cannot be read: {fault}", hint=_HINT) from fault


def viewable(paths: Iterable[Path], out: Path) -> dict[Path, Path]:
    """Where the trainer finds each film: itself, or what a DICOM file was rendered to below ``out``."""
    return {path: path if path.suffix.lower() in PICTURES else render(path, out) for path in paths}
