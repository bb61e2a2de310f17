"""The DICOM Conformance Statement (PS3.2) of a node as it is configured: printed from the code that does the work.

Nothing here is a second description. Presentation contexts are those that listener and sender negotiate, status
codes are judged by the sender, and the attributes of each object are those of objects built here, from a full header
and from a blank one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_description
from pydicom.filebase import DicomBytesIO
from pydicom.sr.coding import Code as Concept
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from cxrd import __version__, report
from cxrd.commitment import PUSH_MODEL
from cxrd.delivery.sender import Outcome, classify
from cxrd.findings import (
    Answer,
    Applicability,
    ArtefactKind,
    Box,
    ClassRole,
    FilmAnalysis,
    FilmRef,
    Finding,
    Heat,
    ModelAnswer,
    ModelRef,
    StudyAnalysis,
    View,
)
from cxrd.intake import contexts
from cxrd.intake.receiving import HARD_PDU, MAX_PDU
from cxrd.intake.server import HANDSHAKE_S
from cxrd.peers import Profile
from cxrd.report import codes
from cxrd.report.composite import SHARED, SHARED_WHERE_KNOWN
from cxrd.report.facts import ReportFacts
from cxrd.report.products import PRODUCTS
from cxrd.settings import Settings
from cxrd.tls import suites
from cxrd.vocabulary import PRIVATE_SCHEME, TERMS

STATUSES = (0x0000, 0x0107, 0x0110, 0x0111, 0x0116, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212, 0xA700, 0xA900,
            0xB000, 0xB006, 0xB007, 0xC000)  # fmt: skip
"""C-STORE statuses of PS3.4 table B.2-1 and PS3.7 annex C whose meaning is stated."""

SECTIONS = ("dicom", "destinations", "archives", "report", "delivery")
"""Parts of the configuration that shape what a peer sees; addresses of databases and secrets are none of them."""


PROFILES: Mapping[Profile, str] = {
    "bcp195": "B.12 BCP 195 RFC 8996, 9325 TLS",
    "bcp195-nd": "B.10 Non-Downgrading BCP 195 TLS",
}


class Attribute(NamedTuple):
    """One attribute of a kind of object: ALWAYS has a value, VNAP may be empty, ANAP may be absent (PS3.2)."""

    tag: str
    name: str
    vr: str
    presence: str
    source: str


def statement(settings: Settings) -> str:
    """Write the statement of a configuration, as Markdown."""
    environment = Environment(
        loader=PackageLoader("cxrd.service"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown for a reader, never HTML for a browser
    )  # fmt: skip
    environment.filters["uid_name"] = lambda uid: UID(uid).name
    entity = AE(settings.dicom.ae_title)
    return environment.get_template("conformance.md.j2").render(
        version=__version__,
        dicom=settings.dicom,
        destinations=[(d, [PRODUCTS[ArtefactKind(k)] for k in d.send]) for d in settings.destinations],
        products=PRODUCTS,
        sent=sent(settings),
        accepted=sorted(contexts.accepted(), key=lambda c: str(c.abstract_syntax)),
        syntaxes=contexts.TRANSFER_SYNTAXES,
        explicit=ExplicitVRLittleEndian,
        implementation_uid=entity.implementation_class_uid,
        implementation_version=entity.implementation_version_name,
        statuses=[(f"0x{code:04X}", *_meaning(code)) for code in STATUSES],
        delivery=settings.delivery,
        archives=settings.archives,
        committing=[d for d in settings.destinations if d.commit],
        push_model=PUSH_MODEL,
        attributes=attributes(settings),
        concepts=sorted({c for c in vars(codes).values() if isinstance(c, Concept)} | set(codes.ANSWERS.values())),
        terms={name: term for name, term in TERMS.items() if term.role is not ClassRole.CONTENT},
        private=PRIVATE_SCHEME,
        parameters=list(_parameters(settings)),
        research_use=settings.report.research_use,
        name=lambda uid: UID(uid).name,
        profiles=PROFILES,
        suites={profile: suites(profile) for profile in PROFILES},
        handshake_s=HANDSHAKE_S,
        max_pdu=MAX_PDU,
        hard_pdu=HARD_PDU,
    )


def sent(settings: Settings) -> list[tuple[ArtefactKind, list[str]]]:
    """Kinds of object and the destinations that get them; every kind there is where no destination is configured."""
    to = {kind: [d.name for d in settings.destinations if kind in d.send] for kind in ArtefactKind}
    return [(kind, names) for kind, names in to.items() if names or not settings.destinations]


def attributes(settings: Settings) -> Mapping[ArtefactKind, Sequence[Attribute]]:
    """What the objects of each kind hold, read off objects made of a full header and of a blank one."""
    facts = ReportFacts.of(settings.report, software_version=__version__)
    full, blank = (_objects(header, facts) for header in (_header(blank=False), _header(blank=True)))
    made = {}
    for kind in ArtefactKind:
        found = {e.tag: e for objects in (blank, full) for e in objects[kind]}
        made[kind] = [
            Attribute(
                f"({tag.group:04X},{tag.element:04X})",
                dictionary_description(tag),
                found[tag].VR,
                "ANAP" if tag not in blank[kind] or tag not in full[kind] else "VNAP" if _empty(blank[kind][tag]) else
                "ALWAYS",
                "the film" if found[tag].keyword in {*SHARED, *SHARED_WHERE_KNOWN} else "cxrd",
            )
            for tag in sorted(found)
        ]  # fmt: skip
    return made


def _empty(element: Any) -> bool:
    return element.VM == 0 or (element.VR == "SQ" and not element.value) or element.value in (None, "")


def _objects(header: Dataset, facts: ReportFacts) -> Mapping[ArtefactKind, Dataset]:
    """Every kind of object of a film with one localised finding."""
    film = FilmRef(
        study_uid=header.StudyInstanceUID, series_uid=header.SeriesInstanceUID, sop_uid=header.SOPInstanceUID,
        sop_class=header.SOPClassUID, sha256="", rows=64, columns=64, view=View.PA,
    )  # fmt: skip
    term = TERMS["Pneumonia"]
    finding = Finding(
        class_id="Pneumonia", role=term.role, code=term.code, site=term.site, probability=0.8, threshold=0.5,
        answer=Answer.PRESENT, boxes=(Box(left=8, top=8, right=40, bottom=40),),
        heat=Heat.from_grid(np.eye(4, dtype=np.float32)),
    )  # fmt: skip
    model = ModelRef(id="example", version="1", digest="0" * 64)
    said = ModelAnswer(model=model, applicability=Applicability.INSIDE, findings=(finding,))
    analysis = StudyAnalysis(
        study_uid=film.study_uid, films=(FilmAnalysis(film=film, answers=(said,)),),
        input_digest="", model_digest="", config_digest="",
    )  # fmt: skip
    made = report.build(
        analysis,
        {film.sop_uid: header},
        {film.sop_uid: np.zeros((64, 64), np.uint8)},
        sends=[frozenset(ArtefactKind)],
        facts=facts,
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return {a.kind: dcmread(DicomBytesIO(a.data)) for a in made}


def _header(*, blank: bool) -> Dataset:
    header = Dataset()
    header.SOPClassUID = ComputedRadiographyImageStorage
    header.SOPInstanceUID, header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    header.Rows = header.Columns = 64
    if not blank:
        issuer = Dataset()
        issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
        header.IssuerOfPatientID, header.IssuerOfPatientIDQualifiersSequence = "A", [issuer]
        for keyword, value in {
            "PatientName": "A^B", "PatientID": "1", "PatientBirthDate": "20000101", "PatientSex": "O",
            "ReferringPhysicianName": "C^D", "AccessionNumber": "1", "StudyID": "1", "StudyDescription": "CHEST",
            "StudyDate": "20260101", "StudyTime": "101112", "PatientOrientation": ["L", "F"],
            "WindowCenter": "1000", "WindowWidth": "2000", "RescaleSlope": "1", "RescaleIntercept": "0",
            "PixelSpacing": ["0.1", "0.1"], "LossyImageCompression": "01",
        }.items():  # fmt: skip
            setattr(header, keyword, value)
    return header


def _meaning(status: int) -> tuple[str, str]:
    """What a status leads to when it answers the first attempt, and a later one."""
    words = {
        Outcome.STORED: "taken as stored",
        Outcome.RETRY: "tried again, with growing waits",
        Outcome.REJECTED: "not sent again until an operator revives it",
    }
    return words[classify(status, attempted=False)], words[classify(status, attempted=True)]


def _parameters(settings: Settings) -> Iterator[tuple[str, str]]:
    for section in SECTIONS:
        yield from _leaves(section, getattr(settings, section))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _leaves(f"{name}.{key}", getattr(value, key))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for number, item in enumerate(value, 1):
            yield from _leaves(f"{name}[{number}]", item)
    else:
        shown = ", ".join(str(v) for v in value) if isinstance(value, tuple) else str(value)
        yield name, shown or "(empty)"
