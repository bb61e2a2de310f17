"""Decodes every film once, through the same preprocessing as the daemon, and keeps it as 8 bit.

In memory, or in a file that later runs and the processes of one run share: then a collection larger than the
memory can be trained on, and a second run starts at once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

import cxrd
from cxrd.errors import Refused
from cxrd.imaging.decode import decode as shown
from cxrd.imaging.film import as_dicom
from cxrd.imaging.preprocess import Preprocess, apply
from cxrd_models.data.manifest import Film, Manifest
from cxrd_models.errors import DataError
from cxrd_models.recipe import PreprocessRecipe

Plane = NDArray[np.float32]


def load_films(
    manifest: Manifest,
    preprocess: PreprocessRecipe,
    advance: Callable[[], object] = lambda: None,
    cache: Path | None = None,
) -> NDArray[np.uint8]:
    """Every film of a manifest, [films, 1, H, W] uint8, 255 = white; ``advance`` is called after each.

    Parameters
    ----------
    cache : Path or None
        Folder that keeps the decoded films; None keeps them in memory only.

    Raises
    ------
    DataError
        A file is missing or cannot be decoded; names the file and its row.
    """
    how = Preprocess.model_validate(preprocess.model_dump())
    return of_each(
        manifest, preprocess, "films", lambda film: apply(how, decode(manifest.folder, film)), advance, cache
    )


def of_each(
    manifest: Manifest,
    preprocess: PreprocessRecipe,
    name: str,
    make: Callable[[Film], Plane],
    advance: Callable[[], object],
    cache: Path | None,
) -> NDArray[np.uint8]:
    """Planes [films, 1, H, W] uint8 that ``make`` draws of each film as (1, H, W) float32 in 0..1, in many threads.

    Raises
    ------
    DataError
        As ``make`` does.
    """
    shape = (len(manifest.films), 1, preprocess.height, preprocess.width)
    if cache is None:
        planes = np.empty(shape, np.uint8)
        _fill(planes, manifest, make, advance)
        return planes
    kept = cache / f"{name}-{_digest(manifest, preprocess)}.npy"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=cache, prefix=kept.name)
        os.close(handle)
        try:
            mapped = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
            _fill(mapped, manifest, make, advance)
            mapped.flush()
            Path(beside).replace(kept)
        finally:
            Path(beside).unlink(missing_ok=True)
    return np.asarray(np.load(kept, mmap_mode="c"))  # copy on write: torch wants to be able to write, none does


def _fill(
    planes: NDArray[np.uint8], manifest: Manifest, make: Callable[[Film], Plane], advance: Callable[[], object]
) -> None:
    for i, plane in enumerate(_made(manifest, make)):
        planes[i] = np.rint(plane * 255)
        advance()


def _made(manifest: Manifest, make: Callable[[Film], Plane]) -> Iterator[Plane]:
    """Decoders and resizing release the interpreter, so threads are enough."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(make, manifest.films)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _digest(manifest: Manifest, preprocess: PreprocessRecipe) -> str:
    """What the planes depend on: the files as they are now, the preprocessing, and the code."""
    told = [cxrd.__version__, preprocess.model_dump_json()]
    for film in manifest.films:
        for name in filter(None, (film.file, film.mask)):
            path = manifest.folder / name
            state = path.stat() if path.exists() else None
            told.append(f"{path.resolve()}\t{state and (state.st_size, state.st_mtime_ns)}")
    return sha256("\n".join(told).encode()).hexdigest()[:16]


def decode(folder: Path, film: Film) -> Plane:
    """One film, (rows, columns) float32 in 0..1.

    Raises
    ------
    DataError
        The file is missing or cannot be decoded.
    """
    try:
        return greys((folder / film.file).read_bytes(), film.file)
    except (OSError, DataError) as fault:
        raise DataError(f"labels.csv row {film.row}: {film.file} cannot be read: {fault}") from fault


def greys(data: bytes, name: str) -> Plane:
    """Greys of a PNG or JPEG, (rows, columns) float32 in 0..1; deeper ones than 8 bit are scaled as the daemon does it.

    Raises
    ------
    DataError
        It cannot be decoded, or its greys are no whole numbers.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            if image.mode.startswith("I"):  # Pillow would clip them to 8 bit
                return shown(as_dicom(data, name)).pixels
            if image.mode.startswith("F"):
                raise DataError("its greys are no whole numbers", hint="save it as PNG of 8 or 16 bit")
            return np.asarray(image.convert("L"), np.float32) / np.float32(255)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, Refused) as fault:
        raise DataError(str(fault)) from fault
