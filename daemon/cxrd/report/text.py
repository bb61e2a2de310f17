"""The Basic Text SR (PS3.3 A.35.1): the findings in words, for systems that read no template.

One section for each film: a coded Finding for what is present, and for each model one sentence with all its answers.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from cxrd.findings import Answer, ClassRole, Finding, ModelAnswer
from cxrd.report import codes, document
from cxrd.report.composite import encode, identify_private_codes, referring
from cxrd.report.equipment import coded
from cxrd.report.facts import PRODUCT
from cxrd.report.products import Film, Imprint, Told

CONTAINS, OBSERVED, MODIFIED, FROM = "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "INFERRED FROM"


def build(told: Told, imprint: Imprint) -> bytes:
    """Build the report of one study; Part 10 file."""
    made = document.start(told, imprint, ())
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [coded(codes.REPORT_TITLE)]
    sections = [_film(film, number, len(told.films)) for number, film in enumerate(told.films, 1)]
    said = [_text(codes.COMMENT, remark) for remark in told.remarks]
    made.ContentSequence = [*_context(imprint), *said, *sections]
    identify_private_codes(made, *(x.code for film in told.films for _, x in film.found.present()))
    return encode(made)


def _context(imprint: Imprint) -> list[Dataset]:
    """Language (TID 1204) and the device as observer (TID 1004)."""
    facts = imprint.facts
    uid = _item(OBSERVED, "UIDREF", codes.DEVICE_UID)
    uid.UID = imprint.device_uid
    named = ((codes.DEVICE_NAME, facts.station_name), (codes.DEVICE_MANUFACTURER, facts.manufacturer))
    return [
        _code(MODIFIED, codes.LANGUAGE_OF_CONTENT, codes.LANGUAGE),
        _code(OBSERVED, codes.OBSERVER_TYPE, codes.DEVICE),
        uid,
        *(_text(name, value, OBSERVED) for name, value in (*named, (codes.DEVICE_MODEL, PRODUCT)) if value),
    ]


def _film(film: Film, number: int, of: int) -> Dataset:
    ref = film.found.film
    section = _item(CONTAINS, "CONTAINER", codes.FINDINGS)
    section.ContinuityOfContent = "SEPARATE"
    which = f"Film {number} of {of}, view {ref.view}." if of > 1 else f"View {ref.view}."
    section.ContentSequence = [
        *(_present(a, x, film) for a, x in film.found.present()),
        *(_text(codes.SUMMARY, _said(answer)) for answer in film.found.answers),
        _text(codes.COMMENT, which),
    ]
    section.ContentSequence[-1].ContentSequence = [_image(film)]
    return section


def _present(answer: ModelAnswer, finding: Finding, film: Film) -> Dataset:
    """A present finding in words, with its code and its film; in this class only text may have properties."""
    against = "" if finding.threshold is None else f" at threshold {finding.threshold:.4f}"
    by = f"by {answer.model.id} {answer.model.version}"
    item = _text(codes.FINDING, f"{finding.code.meaning}: probability {finding.probability:.4f}{against}, {by}")
    coded_so = _code("HAS PROPERTIES", codes.FINDING, codes.concept(finding.code))
    item.ContentSequence = [coded_so, _image(film)]
    return item


def _said(answer: ModelAnswer) -> str:
    """One model's whole answer in a sentence."""
    name = f"{answer.model.id} {answer.model.version} (sha256 {answer.model.digest})"
    if not answer.findings:
        return f"{name}: no answer; {answer.note or 'outside its intended use'}."
    parts = [f"{word}: {', '.join(_named(answer, kind)) or 'none'}" for kind, word in WORDS.items()]
    return f"{name}: {'; '.join(parts)}."


WORDS = {Answer.PRESENT: "present", Answer.ABSENT: "absent", Answer.UNDETERMINED: "not determined"}


def _named(answer: ModelAnswer, kind: Answer) -> list[str]:
    found = [x for x in answer.findings if x.answer is kind]
    return [f"{_words(x)} {x.probability:.2f}" for x in found]


def _words(finding: Finding) -> str:
    return finding.code.meaning if finding.role is ClassRole.FINDING else finding.code.meaning.lower()


def _item(relationship: str, value_type: str, name: Concept) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = [coded(name)]
    return item


def _code(relationship: str, name: Concept, value: Concept) -> Dataset:
    item = _item(relationship, "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    return item


def _text(name: Concept, text: str, relationship: str = CONTAINS) -> Dataset:
    item = _item(relationship, "TEXT", name)
    item.TextValue = text
    return item


def _image(film: Film) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = FROM, "IMAGE"
    ref = film.found.film
    item.ReferencedSOPSequence = [referring(ref.sop_class, ref.sop_uid)]
    return item
