"""Finding classes and their codes: the words that model packages and reports share.

Each SNOMED CT identifier was checked against its Verhoeff digit and at least one public value set
(PS3.16 context groups, HL7 FHIR implementation guides, UMLS and MedDRA maps); see the source column in
ARCHITECTURE.md. There is no verifiable SNOMED CT identifier for pleural thickening, so it carries a code
of our own scheme, 99CXRD.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from cxrd.findings import ClassRole, Code

PRIVATE_SCHEME = "99CXRD"


def _sct(value: str, meaning: str) -> Code:
    return Code(value=value, scheme="SCT", meaning=meaning)


LUNG = _sct("39607008", "Lung")
HEART = _sct("80891009", "Heart")
PLEURA = _sct("3120008", "Pleura")
DIAPHRAGM = _sct("5798000", "Diaphragm")
CHEST = _sct("816094009", "Chest")


class Term(NamedTuple):
    """What a class name means: its role in a report, its code and the site it is seen at."""

    role: ClassRole
    code: Code
    site: Code


def _finding(value: str, meaning: str, site: Code, scheme: str = "SCT") -> Term:
    return Term(ClassRole.FINDING, Code(value=value, scheme=scheme, meaning=meaning), site)


def _content(value: str, meaning: str) -> Term:
    return Term(ClassRole.CONTENT, Code(value=value, scheme=PRIVATE_SCHEME, meaning=meaning), CHEST)


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        # the fourteen labels of NIH ChestX-ray14, spelt as its tables spell them
        "Atelectasis": _finding("46621007", "Atelectasis", LUNG),
        "Cardiomegaly": _finding("8186001", "Cardiomegaly", HEART),
        "Consolidation": _finding("95436008", "Lung consolidation", LUNG),
        "Edema": _finding("19242006", "Pulmonary edema", LUNG),
        "Effusion": _finding("60046008", "Pleural effusion", PLEURA),
        "Emphysema": _finding("87433001", "Pulmonary emphysema", LUNG),
        "Fibrosis": _finding("51615001", "Fibrosis of lung", LUNG),
        "Hernia": _finding("39839004", "Diaphragmatic hernia", DIAPHRAGM),
        "Infiltration": _finding("409609008", "Radiologic infiltrate of lung", LUNG),
        "Mass": _finding("309529002", "Lung mass", LUNG),
        "Nodule": _finding("786838002", "Nodule of lung", LUNG),
        "Pleural_Thickening": _finding("PLTHK", "Pleural thickening", PLEURA, PRIVATE_SCHEME),
        "Pneumonia": _finding("233604007", "Pneumonia", LUNG),
        "Pneumothorax": _finding("36118008", "Pneumothorax", PLEURA),
        # the classes of the other four models
        "pneumonia": _finding("233604007", "Pneumonia", LUNG),
        "atelectasis": _finding("46621007", "Atelectasis", LUNG),
        "covid": _finding("840539006", "COVID-19", LUNG),
        "viral": _finding("75570004", "Viral pneumonia", LUNG),
        "normal": Term(ClassRole.NORMAL, _sct("168733007", "Standard chest X-ray normal"), CHEST),
        "none": Term(ClassRole.NORMAL, _sct("168733007", "Standard chest X-ray normal"), CHEST),
        "other": Term(ClassRole.OTHER, _sct("168734001", "Standard chest X-ray abnormal"), CHEST),
        # what a picture shows: for admission alone, never in a report
        "frontal": Term(ClassRole.CONTENT, _sct("399033003", "Frontal projection"), CHEST),
        "lateral": Term(ClassRole.CONTENT, _sct("399067008", "Lateral projection"), CHEST),
        "turned": _content("TURNED", "Frontal film on its side or head"),
        "inverted": _content("INVERTED", "Frontal film with inverted greys"),
        "not_chest": _content("NOTCHEST", "Not a chest radiograph"),
    }
)
