"""The gate: what a version must show before it may answer in another one's place. Pure; the caller brings the facts.

Each requirement is met, not met, or not known, and says what it looked at. What cannot be known is allowed where
nothing could have been known (a first version has nothing to be compared with), and refused where somebody could
have looked and did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cxrd.inference.manifest import Manifest
from cxrd.inference.shadowing import Agreement
from cxrd.inference.trial import Trial, compare, together

FEW_FILMS = 30
"""Fewer films in common tell nothing of a difference."""


class Requirement(NamedTuple):
    """One line of the gate.

    Attributes
    ----------
    todo : str
        What would meet it.
    """

    name: str
    ok: bool
    found: str
    todo: str = ""


class Limits(NamedTuple):
    """What this site asks; see :class:`cxrd.settings.Models`."""

    auroc_margin: float
    shadow_films: int
    shadow_agreement: float


@dataclass(frozen=True, slots=True)
class Case:
    """A version that wants to answer, and the one that does.

    Attributes
    ----------
    candidate, active : Manifest
        At the site's operating points; ``active`` is None where no version answers.
    trial, active_trial : Trial or None
        Their answers on test films.
    looked_on : bool
        Whether the candidate is a shadow now, or left answers as one.
    agreement : Agreement
        Of the candidate as shadow with the active version.
    """

    candidate: Manifest
    active: Manifest | None
    trial: Trial | None
    active_trial: Trial | None
    looked_on: bool
    agreement: Agreement


def judge(case: Case, limits: Limits) -> list[Requirement]:
    """Judge a version that could be loaded and tried."""
    found = [_evaluation(case.candidate)]
    if case.active is not None:
        found += [_classes(case.candidate, case.active), _areas(case, case.active, limits)]
    return [*found, _shadow(case, limits)]


def _evaluation(manifest: Manifest) -> Requirement:
    todo = "export it with cxrd export, which judges it on the test films"
    reported = [c.id for c in manifest.classes if c.reported]
    bare = [
        name
        for name in reported
        if (metric := manifest.metrics.get(f"auroc_{name}")) is None or metric.low is None or metric.high is None
    ]
    if bare or not reported:
        what = f"no area with an interval for {', '.join(bare)}" if bare else "it reports no class"
        return Requirement("evaluation", ok=False, found=what, todo=todo)
    return Requirement("evaluation", ok=True, found=summary(manifest))


def summary(manifest: Manifest) -> str:
    """The mean area that a package claims for itself, with its interval and films; "" where it claims none."""
    metric = manifest.metrics.get("auroc_mean_reported")
    if metric is None:
        return ""
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"mean AUROC {metric.value:.3f}{interval} on {metric.n} films"


def _classes(candidate: Manifest, active: Manifest) -> Requirement:
    mine = {c.id for c in candidate.classes if c.reported}
    lost = [c.id for c in active.classes if c.reported and c.id not in mine]
    if lost:
        todo = "train with more films of these, or tell the readers and overrule"
        return Requirement("classes", ok=False, found=f"it does not report {', '.join(lost)} any more", todo=todo)
    return Requirement("classes", ok=True, found=f"it reports what {active.version} reports")


def _areas(case: Case, active: Manifest, limits: Limits) -> Requirement:
    name = "areas"
    if case.active_trial is None:
        return Requirement(name, ok=True, found=f"{active.version} carries no predictions to compare with")
    if case.trial is None:
        todo = "export it with cxrd export, which writes them"
        return Requirement(name, ok=False, found="it carries no predictions", todo=todo)
    films = len(together(case.trial, case.active_trial)[0])
    reported = [c.id for c in active.classes if c.reported]
    found = compare(case.trial, case.active_trial, reported) if films >= FEW_FILMS else []
    if not found:
        todo = (
            f"cxrd evaluate the package of {active.version} on the test films of {case.candidate.version}, then "
            "--active-predictions OUT/predictions.csv"
        )
        if len(case.trial.films) < FEW_FILMS:
            todo = f"test it on {FEW_FILMS} films at least: fewer tell nothing of a difference"
        return Requirement(name, ok=False, found=f"only {films} test film(s) in common", todo=todo)
    mean = found[-1]
    worse = [d.name for d in found[:-1] if d.high < 0 and d.value < -limits.auroc_margin]
    told = f"{mean.candidate:.3f} against {mean.active:.3f} on {films} films"
    told += f", difference {mean.low:+.3f} to {mean.high:+.3f}"
    if mean.low < -limits.auroc_margin or worse:
        also = f"; worse for {', '.join(worse)}" if worse else ""
        todo = f"it may be worse by more than {limits.auroc_margin:g}: train longer, on more films, or test on more"
        return Requirement(name, ok=False, found=told + also, todo=todo)
    return Requirement(name, ok=True, found=told)


def _shadow(case: Case, limits: Limits) -> Requirement:
    name, told = "shadow", case.agreement
    if not case.looked_on:
        return Requirement(name, ok=True, found="it never looked on")
    share = told.share
    found = f"{told.films} film(s)" + ("" if share is None else f", {share:.1%} of {told.answers} answers agree")
    if told.films < limits.shadow_films:
        todo = f"wait until it has judged {limits.shadow_films} beside the active version"
        return Requirement(name, ok=False, found=found, todo=todo)
    if share is not None and share < limits.shadow_agreement:
        todo = (
            f"cxrd models compare {case.candidate.id} shows where; below {limits.shadow_agreement:.0%} somebody decides"
        )
        return Requirement(name, ok=False, found=found, todo=todo)
    return Requirement(name, ok=True, found=found)


def met(requirements: Sequence[Requirement]) -> bool:
    """Whether all are met."""
    return all(one.ok for one in requirements)
