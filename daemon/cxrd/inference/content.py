"""The content check: what a picture shows, told from its pixels beside the classifiers, never in a report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cxrd
from cxrd.errors import PackageError
from cxrd.findings import ClassRole, ModelRef
from cxrd.imaging.preprocess import Preprocess
from cxrd.inference import engine
from cxrd.inference.engine import Classifier
from cxrd.inference.packages import choose
from cxrd.rules import Admission


class ContentCheck:
    """A loaded package whose classes are kinds of pictures; make one with :func:`load`.

    Parameters
    ----------
    classifier : Classifier
        Its graph.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    @property
    def ref(self) -> ModelRef:
        """Id, version and digest."""
        return self._classifier.ref

    @property
    def preprocess(self) -> Preprocess:
        """What it needs of a film."""
        return self._classifier.manifest.preprocess

    def look(self, images: NDArray[np.float32]) -> tuple[Mapping[str, float], ...]:
        """Probability of each kind of picture, one mapping for each of (N, 1, H, W) in 0..1."""
        names = [klass.id for klass in self._classifier.manifest.classes]
        probs = self._classifier.run(images).probs
        return tuple(dict(zip(names, (float(p) for p in row), strict=True)) for row in probs)


def load(rules: Admission, provider: str = "cpu", threads: int = 1) -> ContentCheck | None:
    """Load the check that a site's rules ask for; None where they ask for none.

    Parameters
    ----------
    rules : Admission
        Names the package; without a name, the one that comes with cxrd.
    provider : {"auto", "cuda", "cpu"}
        It is small: a processor core answers in a few milliseconds.
    threads : int
        Intra-op threads.

    Raises
    ------
    PackageError
        There is no package, it is not intact, or it is a classifier of findings.
    """
    if rules.content == "off":
        return None
    folder = rules.content_model or choose(shipped_folder())[0].folder
    classifier = engine.load(folder, provider, threads)
    kinds = [klass.id for klass in classifier.manifest.classes if klass.role is ClassRole.CONTENT]
    if len(kinds) < len(classifier.manifest.classes) or "frontal" not in kinds:
        raise PackageError(
            f"{folder} tells no frontal film from others", hint="admission.content_model names a content check"
        )
    return ContentCheck(classifier)


def shipped_folder() -> Path:
    """Return where the package that comes with cxrd lies: in a checkout, else in the environment's shared data."""
    checkout = Path(cxrd.__file__).resolve().parents[2] / "models" / "admission"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "cxrd" / "admission"
