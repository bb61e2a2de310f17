"""Films of the size that hospitals send."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.datasets import DX, encoded, film, pixels

ROWS, COLUMNS = 2500, 2048


def ten_megabytes(seed: int = 0) -> bytes:
    """One uncompressed DX of 10 MB, 12 bit, with film-like noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(np.float32)
    shade = 2000 + 900 * np.sin(x / 300) * np.cos(y / 400) + rng.normal(0, 30, (ROWS, COLUMNS)).astype(np.float32)
    dataset = film(SOPClassUID=DX, Modality="DX", WindowCenter=2048, WindowWidth=4096)
    pixels(dataset, np.clip(shade, 0, 4095).astype(np.uint16), bits_stored=12)
    return encoded(dataset)


def write(folder: Path, number: int) -> list[Path]:
    """Several films, each its own study."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n}.dcm" for n in range(number)]
    for n, path in enumerate(paths):
        path.write_bytes(ten_megabytes(n))
    return paths
