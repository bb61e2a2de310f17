"""What a package says of films, through the daemon's own engine; upright only, or upright and mirrored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd.inference.engine import Classifier

Floats = NDArray[np.float32]


class Answers(NamedTuple):
    """Of n films.

    Attributes
    ----------
    logits, probability : array
        [n, K].
    heat : array or None
        [n, Kh, h, w] raw maps >= 0 as the film lies; None for a model that does not localise.
    """

    logits: NDArray[np.float64]
    probability: NDArray[np.float64]
    heat: Floats | None

    def map_of(self, film: int, k: int) -> Floats | None:
        """Return the map [h, w] that speaks for class ``k`` of a film: its own, or the one for all."""
        if self.heat is None:
            return None
        return np.asarray(self.heat[film, k if self.heat.shape[1] > 1 else 0])


def answer(classifier: Classifier, films: NDArray[np.uint8], *, tta: bool = False, batch: int = 16) -> Answers:
    """Judge films.

    Parameters
    ----------
    films : array
        [n, C, H, W] uint8: the film and, for a model that takes them, its lungs (255 = lung).
    tta : bool
        Also judge every film mirrored; maps are mirrored back, and probabilities averaged after calibration, since
        that is what an operating point was chosen on. Hearts lie left: a mirrored film is a film of another kind,
        and whether this helps is a question to measure.
    batch : int
        Films judged at once; no answer depends on it.
    """
    parts = []
    for start in range(0, len(films), batch):
        some = films[start : start + batch].astype(np.float32) / np.float32(255)
        upright = _run(classifier, some)
        parts.append(_both(upright, _run(classifier, some[..., ::-1])) if tta else upright)
    if not parts:
        none = np.zeros((0, len(classifier.manifest.classes)))
        return Answers(none, none, None)
    heat = [p.heat for p in parts if p.heat is not None]
    return Answers(
        np.concatenate([p.logits for p in parts]),
        np.concatenate([p.probability for p in parts]),
        np.concatenate(heat) if heat else None,
    )


def _run(classifier: Classifier, batch: Floats) -> Answers:
    """Run the graph on [n, C, H, W] in 0..1; a second channel goes in as lungs, for a graph that asks for them."""
    planes = [np.ascontiguousarray(batch[:, c : c + 1]) for c in range(batch.shape[1])]
    said = classifier.run(*planes)
    return Answers(said.logits.astype(np.float64), said.probs.astype(np.float64), said.heat)


def _both(upright: Answers, mirrored: Answers) -> Answers:
    heat = None
    if upright.heat is not None and mirrored.heat is not None:
        heat = np.asarray((upright.heat + mirrored.heat[..., ::-1]) / 2, np.float32)
    return Answers((upright.logits + mirrored.logits) / 2, (upright.probability + mirrored.probability) / 2, heat)
