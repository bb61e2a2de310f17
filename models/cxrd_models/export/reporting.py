"""Which classes a package may report, and the sentence that says why the others stay silent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.data.manifest import SPLITS, Manifest
from cxrd_models.recipe import ReportRecipe


class Standing(Value):
    """Positive films of a class in each split, and what follows.

    Attributes
    ----------
    note : str
        Why the class is not reported; "" where it is.
    """

    class_id: str
    train: int
    val: int
    test: int
    note: str

    @property
    def reported(self) -> bool:
        """Whether the class may appear in a report."""
        return not self.note


def standings(manifest: Manifest, rule: ReportRecipe) -> tuple[Standing, ...]:
    """Every class of a manifest, in its order."""
    targets = manifest.targets()
    counts = {split: targets[manifest.rows_of(split)].sum(axis=0).astype(int) for split in SPLITS}
    return tuple(_standing(name, k, counts, rule) for k, name in enumerate(manifest.task.classes))


def _standing(name: str, k: int, counts: dict[str, NDArray[np.int_]], rule: ReportRecipe) -> Standing:
    have = {split: int(counts[split][k]) for split in SPLITS}
    need = {"train": rule.min_train, "val": rule.min_val, "test": rule.min_test}
    short = [f"{have[s]} positive {s} films (needs {need[s]})" for s in SPLITS if have[s] < need[s]]
    return Standing(class_id=name, **have, note=f"not reported: {', '.join(short)}" if short else "")
