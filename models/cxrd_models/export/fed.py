"""What a model was fed when it was judged, in numbers: the daemon holds the films of a hospital against it."""

from __future__ import annotations

import csv
from io import StringIO

import numpy as np
from numpy.typing import NDArray

from cxrd.inference.reference import STATISTICS, statistics
from cxrd_models.data.manifest import Manifest


def inputs_table(manifest: Manifest, films: NDArray[np.uint8]) -> str:
    """CSV of the test films: file, then each statistic of the preprocessed film.

    Parameters
    ----------
    films : array
        [films, C, H, W] uint8; the first channel is the film.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *STATISTICS])
    for row in manifest.rows_of("test"):
        found = statistics(films[row, 0].astype(np.float32) / np.float32(255))
        writer.writerow([manifest.films[row].told, *(f"{found[name]:.5f}" for name in STATISTICS)])
    return text.getvalue()
