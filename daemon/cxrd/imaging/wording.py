"""The words and codes in which headers name a body part and a projection.

Headers are typed by people in their own language: accents, dots and underscores go first, then words are matched.
A word list never proves anything, so each is short, and a value that matches none tells nothing.
"""

from __future__ import annotations

import re
import unicodedata

from cxrd.findings import View

NOTHING = frozenset(
    {"", "UNKNOWN", "UNSPECIFIED", "NOT SPECIFIED", "UNDEFINED", "OTHER", "NONE", "ANY", "DEFAULT", "NA", "N/A"}
)
"""What consoles write into a field that nobody filled."""

CHEST = re.compile(
    r"CHEST|THORA[CKX]|TORA[CKX]|LUNG|PULM|\bRIB|BRUST|POITRINE|PECHO|HEART|STERN|MEDIASTIN|\bCXR\b|ГРУД|胸"
)
NOT_CHEST = re.compile(r"SPINE|WIRBEL|COLUMNA|COLONNE|RACHIS|LUMB")
"""Parts that are named by a chest word (a thoracic spine)."""

ELSEWHERE = re.compile(
    r"ABDOM|\bKUB\b|PELVI|BECKEN|KNEE|\bKNIE|SKULL|SCHADEL|SPINE|WIRBEL|RACHIS|LUMB|\bHIP\b|HUFTE|SHOULDER|SCHULTER"
    r"|ANKLE|WRIST|ELBOW|\bHAND\b|\bFOOT\b|FEMUR|TIBIA|HUMERUS|MAMM|DENTAL"
)
"""Other parts, as descriptions name them; they count only where no chest word stands beside them."""

LATERAL = re.compile(
    r"(?<!BI)(?<!COL)(?<!UNI)LATERAL(?!ITY)|\bLAT\b|\bLL\b|\bRL\b|\bLATERO|\bPROFIL|\bPERFIL\b|\bSEITL"
    r"|OBLIQ|\bOBL\b|\bSCHRAG|DECUB|\b[LR]LD\b|\b[LR]LO\b|\b[LR][AP]O\b"
)
"""Lateral, oblique and decubitus projections, with the defined terms of View Position (C.8.3.1, C.8.11.2)."""

_PA = re.compile(r"\bPA\b|POSTERO[ -]?ANTERIOR")
_AP = re.compile(r"\bAP\b|ANTERO[ -]?POSTERIOR")
_FRONTAL = re.compile(r"FRONTAL|\bFACE\b|\bFRENTE\b")
_DOTTED = re.compile(r"\b(P[.\-/ ]{1,2}A|A[.\-/ ]{1,2}P)\b")

LATERAL_CODES = frozenset(
    {
        "399067008", "399173006", "399198007", "399352003", "399260004", "399118008", "399297009", "399300004",
        "399012007", "R-102CD", "R-10236", "R-10232", "R-10228", "R-10224", "G-5223", "G-5222", "G-5221", "G-5220",
        "399182000", "399135007", "399356000", "399006002", "399038007", "399184004", "399236003", "399160007",
        "399312000", "399059000", "260427002", "260426006", "R-102C1", "R-10220", "R-40985", "R-10212", "R-10210",
        "R-10238", "R-10234", "R-10204", "R-10208", "R-10216", "R-40783", "R-40782",
        "399074003", "399136008", "399108003", "399075002", "399099002", "399368009", "21114003",
        "G-5207", "G-5209", "G-5206", "G-5208", "R-10230", "R-10226", "G-A472",
    }
)  # fmt: skip
"""Lateral and oblique views of CID 4010 and 501: SNOMED CT, and the SRT (SNM3) codes that they replaced."""

FRONTAL_CODES = {
    "272479007": View.PA, "R-40888": View.PA, "R-10214": View.PA,
    "399348003": View.AP, "R-10206": View.AP,
    "399033003": View.FRONTAL, "R-10202": View.FRONTAL,
}  # fmt: skip

CHEST_CODES = frozenset(
    {
        "816094009", "51185008", "43799004", "T-D3000",  # chest, thoracic structure
        "39607008", "T-28000", "302551006",  # lung, entire thorax
    }
)  # fmt: skip


def plain(words: str) -> str:
    """Upper case without accents, underscores and dots; ``p.a.`` becomes ``PA``."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    spaced = bare.upper().replace("_", " ")
    joined = _DOTTED.sub(lambda match: match[0][0] + match[0][-1], spaced)
    return " ".join(joined.replace(".", " ").split())


def says_nothing(part: str) -> bool:
    """Whether a plain body part is one that nobody filled."""
    return part in NOTHING or not any(c.isalnum() for c in part)


def names_chest(words: str) -> bool:
    """Whether plain words name the chest, and not the spine behind it."""
    return bool(CHEST.search(words)) and not NOT_CHEST.search(words)


def names_other_part(words: str) -> bool:
    """Whether plain words name another part of the body and not the chest."""
    return bool(ELSEWHERE.search(words)) and not names_chest(words)


def frontal_in(words: str) -> View | None:
    """The frontal projection that plain words name; FRONTAL where they name both PA and AP."""
    pa, ap = bool(_PA.search(words)), bool(_AP.search(words))
    if pa != ap:
        return View.PA if pa else View.AP
    return View.FRONTAL if pa or _FRONTAL.search(words) else None


def lateral_in(words: str) -> bool:
    """Whether plain words name a lateral, oblique or decubitus projection."""
    return bool(LATERAL.search(words))
