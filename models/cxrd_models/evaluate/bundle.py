"""Everything that an evaluation found, as one value: the content of ``metrics.json`` and the source of the report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cxrd.findings import Value
from cxrd.inference.manifest import Manifest as PackageManifest
from cxrd_models.data.manifest import Manifest
from cxrd_models.evaluate.answers import Answers
from cxrd_models.evaluate.compare import Comparison
from cxrd_models.evaluate.figures import Figures, Scored, figures
from cxrd_models.evaluate.operating import Confusion, Operating, confusion, operating
from cxrd_models.evaluate.people import Groups
from cxrd_models.evaluate.places import InLungs, Localised, Place, in_lungs, places, summary
from cxrd_models.evaluate.subgroups import Subgroup, subgroups
from cxrd_models.evaluate.truth import Boxes

SEED = 0


class Against(Value):
    """Another package on the same films: ``first`` is the package judged, ``second`` the other one."""

    package: str
    classes: tuple[Comparison, ...]


class Evaluation(Figures):
    """Figures of a package on a split, and what explains them.

    Attributes
    ----------
    package, digest : str
        Id and version; sha256 of the package's manifest.
    tta : bool
        Whether each film was also judged mirrored.
    own_data : bool
        Whether the films are of the very data set, with its splits, that the package was made from: only then is it
        known which of them it has not learnt.
    unseen : tuple of str
        Classes of which the split has no positive film: nothing is known of them.
    operating : tuple of Operating
        Every class of the package, in its order.
    confusion : Confusion or None
        Of classes that exclude each other.
    places, lungs, against
        Where boxes, lung masks or another package were given.
    """

    package: str
    digest: str
    tta: bool
    own_data: bool
    unseen: tuple[str, ...]
    operating: tuple[Operating, ...]
    confusion: Confusion | None
    subgroups: tuple[Subgroup, ...]
    places: tuple[Localised, ...]
    lungs: InLungs | None
    against: Against | None


class Subject(NamedTuple):
    """A package, the films it was asked about, and what it said.

    Attributes
    ----------
    manifest : Manifest
        Of the split's films only.
    answers, groups
        Of these films, in their order.
    data : str
        Digest of the whole data set that they are a split of.
    """

    declared: PackageManifest
    digest: str
    manifest: Manifest
    split: str
    answers: Answers
    groups: Groups
    boxes: Boxes
    tta: bool
    data: str

    @property
    def name(self) -> str:
        """Id and version of the package."""
        return f"{self.declared.id} {self.declared.version}"


def scored(subject: Subject) -> Scored:
    """Return the answers beside the truth; a class without an operating point gets 0.5, and no figures at it."""
    return Scored(
        classes=subject.manifest.task.classes,
        target=subject.manifest.targets(),
        probability=subject.answers.probability,
        baseline=None,
        source=subject.manifest.sources(),
        patient=subject.manifest.patients(),
        threshold=tuple(0.5 if c.threshold is None else c.threshold for c in subject.declared.classes),
    )


def evaluation(subject: Subject, against: Against | None) -> tuple[Evaluation, tuple[Place, ...]]:
    """Judge a package; also returns the single places that were compared with boxes."""
    answers = scored(subject)
    classes, declared = subject.manifest.task.classes, subject.declared
    shown = answers.target.sum(axis=0) > 0
    told = tuple(c.reported and c.threshold is not None for c in declared.classes)
    judged = tuple(c.id for c, seen in zip(declared.classes, shown, strict=True) if c.reported and seen)
    found = figures(subject.split, answers, judged, SEED)
    spots: tuple[Place, ...] = ()
    if declared.heat is not None:
        spots = places(subject.manifest, subject.answers, declared.heat, subject.boxes, SEED)
    leading = (answers.probability - np.array(answers.threshold)).argmax(axis=1)
    whole = Evaluation(
        **{name: getattr(found, name) for name in Figures.model_fields},
        package=subject.name,
        digest=subject.digest,
        tta=subject.tta,
        own_data=subject.data == declared.training.data_digest,
        unseen=tuple(name for name, seen in zip(classes, shown, strict=True) if not seen),
        operating=operating(answers, told, SEED),
        confusion=confusion(answers, SEED) if declared.exclusive else None,
        subgroups=subgroups(answers, subject.groups, judged, SEED),
        places=summary(spots),
        lungs=in_lungs(subject.manifest, subject.answers, leading, SEED),
        against=against,
    )
    return whole, spots
