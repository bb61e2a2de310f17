"""What reports of every class say alike: remarks on a result, and which report it replaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset

from cxrd.findings import Answer, ClassRole, FilmAnalysis, Unread
from cxrd.report import codes
from cxrd.report.composite import referring
from cxrd.report.equipment import coded
from cxrd.report.facts import RESEARCH_USE, ReportFacts
from cxrd.report.header import ACCESSION_LENGTH, accession_number
from cxrd.report.products import Film, Predecessor
from cxrd.report.uids import series_of


def remarks(films: Sequence[Film], unread: Iterable[Unread], facts: ReportFacts) -> list[str]:
    """Research use, notes on films and on models' intended use, films without any answer or unread; each once."""
    said = [RESEARCH_USE] if facts.research_use else []
    said += [] if films else ["no image of this study was analysed"]
    for film in films:
        found = film.found
        said += _left_blank(film, facts)
        said += found.notes
        said += [] if found.answered else [f"no model answers for image {found.film.sop_uid}"]
        said += [
            f"{a.model.id} {a.model.version}: applicability {a.applicability}; {a.note}"
            for a in found.answers
            if a.note
        ]
    said += [f"image {film.sop_uid} of this study was not analysed: {film.why}" for film in unread]
    return list(dict.fromkeys(said))


def _left_blank(film: Film, facts: ReportFacts) -> list[str]:
    """What the source says and no element can hold."""
    number = accession_number(film.source, facts.default_character_set)
    if len(number) <= ACCESSION_LENGTH:
        return []
    return [f"the film's Accession Number is longer than {ACCESSION_LENGTH} characters and left blank here: {number}"]


def conclusion(film: FilmAnalysis) -> str:
    """What is said of a film as a whole; nothing found, nothing named, determined or asked never sound alike."""
    present = film.present()
    if present:
        return f"{len(present)} finding{'s' if len(present) > 1 else ''} present"
    if not film.answered:
        return "no model answers for this film"
    if any(x.role is ClassRole.OTHER and x.answer is Answer.PRESENT for a in film.answers for x in a.findings):
        return "abnormal, but no finding is named"
    asked = [x.answer for a in film.answers for x in a.findings if x.role is ClassRole.FINDING]
    if asked and all(answer is Answer.UNDETERMINED for answer in asked):
        return "no finding could be determined"
    return "no finding above its threshold"


def replaced(header: Dataset, predecessor: Predecessor) -> Dataset:
    """Item of Predecessor Documents Sequence (PS3.3 C.17.2)."""
    document = referring(predecessor.sop_class, predecessor.sop_uid)
    document.PurposeOfReferenceCodeSequence = [coded(codes.REPLACED_REPORT)]
    series = Dataset()
    series.SeriesInstanceUID = series_of(header.StudyInstanceUID, predecessor.kind)
    series.ReferencedSOPSequence = [document]
    study = Dataset()
    study.StudyInstanceUID = header.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study
