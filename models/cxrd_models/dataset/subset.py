"""A smaller collection in which age, sex and class are as frequent as in the whole."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cxrd_models.dataset.rows import Row
from cxrd_models.errors import DataError

QUANTILES = (0.2, 0.4, 0.6, 0.8)


def age_bands(rows: Sequence[Row]) -> list[str]:
    """Fifth of the ages that each film's lies in, "" where it is unknown."""
    ages = [int(row.age) for row in rows if row.age]
    if not ages:
        return [""] * len(rows)
    bounds = np.quantile(ages, QUANTILES)
    return [str(int(np.searchsorted(bounds, int(row.age)))) if row.age else "" for row in rows]


def subset(rows: Sequence[Row], size: int, seed: int, column: str) -> list[Row]:
    """Draw films so that every cell of age band, sex and class keeps its share, by largest remainders.

    Parameters
    ----------
    column : str
        Label column whose classes keep their shares.

    Returns
    -------
    list of Row
        ``size`` films, in the order in which they came.

    Raises
    ------
    DataError
        More films are asked for than there are.
    """
    if not 0 < size <= len(rows):
        raise DataError(f"a subset of {size} films cannot be taken from {len(rows)}")
    cells: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, (row, band) in enumerate(zip(rows, age_bands(rows), strict=True)):
        cells[band, row.sex, row.labels.get(column, "")].append(i)
    exact = {key: len(members) * size / len(rows) for key, members in cells.items()}
    share = {key: int(amount) for key, amount in exact.items()}
    short = size - sum(share.values())
    for key in sorted(exact, key=lambda key: (share[key] - exact[key], key))[:short]:
        share[key] += 1
    chosen: set[int] = set()
    for key in sorted(cells):
        draw = random.Random(f"{seed}/{key}")  # noqa: S311 - shares, not secrets
        chosen.update(draw.sample(sorted(cells[key], key=lambda i: rows[i].orig_file), share[key]))
    return [row for i, row in enumerate(rows) if i in chosen]
