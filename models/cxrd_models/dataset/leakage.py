"""Whether a film of one split is known from another: by its patient, by its bytes, or by its looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.data.manifest import SPLITS
from cxrd_models.dataset.pictures import SIDE, Picture
from cxrd_models.dataset.rows import Row

BAR = 8
"""Differing bits of 64, of the two films' DCT hashes, up to which they are compared closer.

Chests resemble each other: of 21 million pairs of 6,549 different films 175 differ in 4 bits or fewer, and 8,788
in 8 or fewer, so a bar on the hash alone accuses the innocent. Copies of a film (recompressed, squashed, reduced
to 64 pixels, of another gamma or window) differ in 8 bits at most.
"""

ALIKE = 0.97
"""Correlation of the fine structure from which two films are called the same: copies reach 0.979, films of
different patients 0.961, two exposures of one patient a minute apart 0.988."""

BLOCK = 2048
SIGMA = 4.0
"""Width of the blur, in pixels of 32, that takes away what all chests share."""

SHOWN = 20


class Pair(Value):
    """Two films of different splits that should not know each other."""

    one: str
    other: str
    splits: tuple[str, str]
    what: str = ""


class Leakage(Value):
    """What crosses the splits.

    Attributes
    ----------
    patients, copies, look_alikes : tuple of Pair
        Films of one patient, of the same bytes, and of nearly the same looks; the first twenty of each.
    n_patients, n_copies, n_look_alikes : int
        Patients, hashes and pairs of films found.
    """

    patients: tuple[Pair, ...]
    copies: tuple[Pair, ...]
    look_alikes: tuple[Pair, ...]
    n_patients: int
    n_copies: int
    n_look_alikes: int

    @property
    def broken(self) -> bool:
        """Whether figures on the test split would be untrue for certain."""
        return bool(self.n_patients or self.n_copies)


def find_leakage(rows: Sequence[Row], pictures: Sequence[Picture]) -> Leakage:
    """Compare the films of different splits; ``pictures`` are those of the rows, in their order."""
    patients = _crossing(rows, [row.patient_id for row in rows])
    copies = _crossing(rows, [picture.sha256 for picture in pictures])
    same = [[p.sha256 for p in pictures], [r.patient_id for r in rows]]
    pairs = [(i, j, c) for i, j, c in _look_alikes(rows, pictures) if all(key[i] != key[j] for key in same)]
    alike = [_pair(rows, i, j, f"{correlation:.3f}") for i, j, correlation in sorted(pairs, key=lambda p: -p[2])]
    return Leakage(
        patients=tuple(patients[:SHOWN]),
        copies=tuple(copies[:SHOWN]),
        look_alikes=tuple(alike[:SHOWN]),
        n_patients=len(patients),
        n_copies=len(copies),
        n_look_alikes=len(alike),
    )


def _pair(rows: Sequence[Row], i: int, j: int, what: str) -> Pair:
    return Pair(one=rows[i].file, other=rows[j].file, splits=(rows[i].split, rows[j].split), what=what)


def _crossing(rows: Sequence[Row], keys: Sequence[str]) -> list[Pair]:
    """A pair for each key that is in more than one split."""
    first: dict[str, int] = {}
    found: dict[str, Pair] = {}
    for i, key in enumerate(keys):
        other = first.setdefault(key, i)
        if rows[other].split != rows[i].split:
            found.setdefault(key, _pair(rows, other, i, key))
    return list(found.values())


def hashes(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Perceptual hash of little pictures.

    The 64 lowest coefficients of the discrete cosine transform, each above the film's median or not; brightness
    is left out of the median.

    Parameters
    ----------
    small : array
        [n, 32, 32] uint8.

    Returns
    -------
    array
        [n, 64] float32, 1 or -1: half of 64 minus the product of two hashes is their Hamming distance.
    """
    if not len(small):
        return np.zeros((0, 64), np.float32)
    low = np.stack([cv2.dct(film)[:8, :8].ravel() for film in small.astype(np.float32)])
    return np.where(low > np.median(low[:, 1:], axis=1, keepdims=True), 1, -1).astype(np.float32)


def structure(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Fine structure of little pictures as unit vectors, [n, 1024] float32; the product of two is a correlation."""
    if not len(small):
        return np.zeros((0, SIDE * SIDE), np.float32)
    films = small.astype(np.float32)
    fine = np.stack([film - cv2.GaussianBlur(film, (0, 0), SIGMA) for film in films]).reshape(len(films), -1)
    fine -= fine.mean(axis=1, keepdims=True)
    return np.asarray(fine / np.maximum(np.linalg.norm(fine, axis=1, keepdims=True), 1e-6), np.float32)


def _look_alikes(rows: Sequence[Row], pictures: Sequence[Picture]) -> Iterator[tuple[int, int, float]]:
    """Pairs of films of different splits that look the same, with their correlation."""
    small = np.stack([picture.small for picture in pictures]) if pictures else np.zeros((0, SIDE, SIDE), np.uint8)
    bits, fine = hashes(small), structure(small)
    members: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        members[row.split].append(i)
    for one, other in combinations([np.array(members[s], np.int64) for s in SPLITS if s in members], 2):
        for start in range(0, len(one), BLOCK):
            block = one[start : start + BLOCK]
            near = (64 - bits[block] @ bits[other].T) / 2 <= BAR
            left, right = np.nonzero(near)
            correlation = np.einsum("pk,pk->p", fine[block[left]], fine[other[right]])
            for pair in np.flatnonzero(correlation >= ALIKE):
                yield int(block[left[pair]]), int(other[right[pair]]), float(correlation[pair])
