"""What a study page shows of one film: findings, bars, boxes, and which heat lies over it."""

from __future__ import annotations

from dataclasses import dataclass

from cxrd.findings import Answer, ClassRole, FilmAnalysis, Finding, ModelAnswer, StudyAnalysis


@dataclass(frozen=True, slots=True)
class Shown:
    """One film with one heat, or none.

    Attributes
    ----------
    number : int
        Which of the study's films it is, from 1.
    model, finding : str
        Whose heat it is; "" for none.
    strength : int
        Opacity of the heat, percent.
    """

    analysis: FilmAnalysis
    number: int
    model: str
    finding: str
    strength: int

    @property
    def boxes(self) -> list[tuple[ModelAnswer, Finding]]:
        """Findings with a box: of the model that is shown, or of every model."""
        said = [(a, x) for a in self.analysis.answers for x in a.findings if x.boxes]
        return [(a, x) for a, x in said if self.model in ("", a.model.id)]


def choose(study: StudyAnalysis, film: str, heat: str, strength: str) -> Shown | None:
    """Pick what is asked for in an address.

    Parameters
    ----------
    film : str
        SOP Instance UID; anything else is the first film.
    heat : str
        ``model/finding``, ``model/`` for that model's strongest, "none", or "" for the strongest present finding.
    strength : str
        Percent; anything else is 50.
    """
    if not study.films:
        return None
    index = next((i for i, f in enumerate(study.films) if f.film.sop_uid == film), 0)
    analysis = study.films[index]
    model, finding = _heat(analysis, heat)
    percent = min(100, int(strength)) if strength.isascii() and strength.isdigit() else 50
    return Shown(analysis, index + 1, model, finding, percent)


def _heat(film: FilmAnalysis, wanted: str) -> tuple[str, str]:
    if wanted == "none":
        return "", ""
    model, _, finding = wanted.partition("/")
    with_heat = [(a, x) for a in film.answers for x in a.findings if x.heat and model in ("", a.model.id)]
    if finding:
        with_heat = [(a, x) for a, x in with_heat if x.class_id == finding]
    elif not model:
        with_heat = [(a, x) for a, x in with_heat if _is_sign(x)]
    if not with_heat:
        return model, ""
    answer, strongest = max(with_heat, key=lambda one: (_is_sign(one[1]), one[1].probability))
    return answer.model.id, strongest.class_id


def _is_sign(finding: Finding) -> bool:
    return finding.answer is Answer.PRESENT and finding.role is ClassRole.FINDING
