"""Whether a model is as good for every group: areas, and who is missed more often than the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Value
from cxrd_models.evaluate.figures import Estimate, Scored
from cxrd_models.evaluate.operating import estimate
from cxrd_models.evaluate.people import Groups
from cxrd_models.evaluate.scores import auroc, resamples

MIN_FILMS = 50
MIN_POSITIVES = 5
RESAMPLES = 1000

Floats = NDArray[np.float64]
_SILENT = Estimate(value=None, low=None, high=None)


class Subgroup(Value):
    """One class in one group.

    Attributes
    ----------
    attribute, group : str
        E.g. "sex" and "F".
    films, patients, positives : int
        In the group.
    auroc, missed, gap : Estimate
        Area; part of the positives below the threshold; that part minus the same part of all other films, so
        that above 0 the group is missed more often. None where films are too few to tell, or ``gap`` where there
        are no others.
    note : str
        Why there are no figures.
    """

    attribute: str
    group: str
    class_id: str
    films: int
    patients: int
    positives: int
    auroc: Estimate
    missed: Estimate
    gap: Estimate
    note: str = ""


def subgroups(scored: Scored, groups: Groups, judged: tuple[str, ...], seed: int) -> tuple[Subgroup, ...]:
    """Judge each class in each group; the films of ``groups`` are those of ``scored``, in its order."""
    weight = np.vstack([np.ones(len(scored.target)), resamples(scored.patient, RESAMPLES, seed)])
    columns = [scored.classes.index(name) for name in judged]
    return tuple(
        _judge(scored, k, (attribute, str(group)), names == group, weight)
        for attribute, names in groups.items()
        for group in np.unique(names)
        for k in columns
    )


def _judge(scored: Scored, k: int, who: tuple[str, str], here: NDArray[np.bool_], weight: Floats) -> Subgroup:
    truth, score = scored.target[:, k], scored.probability[:, k]
    positives = int(truth[here].sum())
    note = ""
    if here.sum() < MIN_FILMS:
        note = f"too few films ({int(here.sum())} < {MIN_FILMS})"
    elif positives < MIN_POSITIVES:
        note = f"too few positive films ({positives} < {MIN_POSITIVES})"
    found = (_SILENT,) * 3
    if not note:
        sick = len(np.unique(scored.patient[here & (truth > 0)]))
        missed = _missed(truth, score < scored.threshold[k], here, weight)
        others = _missed(truth, score < scored.threshold[k], ~here, weight)
        found = (
            estimate(auroc(truth[here], score[here], weight[:, here])),
            estimate(missed, sick),
            _gap(missed, others),
        )
    return Subgroup(
        attribute=who[0],
        group=who[1],
        class_id=scored.classes[k],
        films=int(here.sum()),
        patients=len(np.unique(scored.patient[here])),
        positives=positives,
        auroc=found[0],
        missed=found[1],
        gap=found[2],
        note=note,
    )


def _missed(truth: NDArray[np.floating], silent: NDArray[np.bool_], here: NDArray[np.bool_], weight: Floats) -> Floats:
    """[1 + B] part of the positives among ``here`` that were not called; NaN without positives."""
    positive = here & (truth > 0)
    whole = weight[:, positive].sum(axis=1)
    part = weight[:, positive & silent].sum(axis=1)
    return np.asarray(part / np.where(whole > 0, whole, np.nan))


def _gap(missed: Floats, others: Floats) -> Estimate:
    return _SILENT if np.isnan(others[0]) else estimate(missed - others)
