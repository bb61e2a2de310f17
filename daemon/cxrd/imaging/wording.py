"""The words and codes in which headers name a body part and a projection.

Headers are typed by people in their own language: accents, dots and underscores go first, then words are matched.
A word list never proves anything, so each is short, and a value that matches none tells nothing. The lists cover
English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian, Greek, Turkish, Chinese and
Japanese; a site adds its own (`cxrd.rules`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from cxrd.findings import View

NOTHING = frozenset(
    {"", "UNKNOWN", "UNSPECIFIED", "NOT SPECIFIED", "UNDEFINED", "OTHER", "NONE", "ANY", "DEFAULT", "NA", "N/A"}
)
"""What consoles write into a field that nobody filled."""


def _any(*words: str) -> re.Pattern[str]:
    """One pattern of many, spelt as :func:`plain` spells a header."""
    return re.compile("|".join(words))


CHEST = _any(
    r"CHEST|THORA[CKX]|TORA[CKX]|LUNG|PULM|\bRIBS?\b|RIBCAGE|HEART|STERN[UA]|MEDIASTIN|\bCXR\b",
    r"BRUST|RIPPE|POITRINE|POUMON|GRIL COSTAL|PECHO|PULMO|COSTILL|POLMON|PEITO|BORSTKAS|LONGEN|BROSTKORG",
    r"KLATK|PLUCA?\b|ГРУД|ЛЕГКИ|ОГК|ΘΩΡΑΚ|ΠΝΕΥΜΟΝ|GOGUS|AKCIGER|胸|肺",
)
_LUMBAR = r"\bLUMB|LUMB(?:A[LR]|AIR|OSA)"
"""Also inside of THORACOLUMBAR, but not of COLUMBUS."""

_MAIN = r"^MAIN$|\bMAIN (?:DROITE?|GAUCHE|FACE|[DG]$)|\b(?:RADIO(?:GRAPHIE)?|RX|DE LA|DEUX) MAINS?\b"
"""French for hand, where it stands alone, with its side, or as what is taken; MAIN ED is a place in many hospitals."""

NOT_CHEST = _any(
    rf"SPINE|WIRBEL|\bBWS\b|COLUMNA|COLONN[AE]|COLUNA|RACHIS|{_LUMBAR}|WERVEL|KOTPELARE|RYGGRAD|KREGOSLUP",
    r"ПОЗВОНОЧ|ΣΠΟΝΔΥΛ|OMURGA|脊|椎",
)
"""Parts that are named by a chest word (a thoracic spine)."""

ELSEWHERE = _any(
    r"ABDOM|BAUCH|VENTRE|ADDOM|BUIK|BRZUCH|ЖИВОТ|БРЮШН|ΚΟΙΛΙ|KARIN|腹|\bKUB\b",
    r"PELVI|BECKEN|BASSIN|BACINO|\bBACIA\b|BEKKEN|MIEDNIC|\bТАЗА?\b|ΛΕΚΑΝ|骨盤|骨盆",
    r"KNEE|\bKNIE|GENOU|RODILLA|GINOCCHI|JOELHO|\bKNA|KOLAN|КОЛЕН|ΓΟΝΑΤ|\bDIZ\b|膝",
    r"SKULL|SCHADEL|\bCRAN[EI]|SCHEDEL|SKALLE|CZASZK|ЧЕРЕП|ΚΡΑΝΙ|KAFATAS|頭|颅|SINUS|NASENNEBEN",
    rf"SPINE|WIRBEL|RACHIS|COLUMNA|COLONN[AE]|COLUNA|{_LUMBAR}|WERVEL|KOTPELARE|KREGOSLUP|ПОЗВОНОЧ|ΣΠΟΝΔΥΛ|OMURGA|椎",
    r"\bHIPS?\b|HUFTE|HANCHE|CADERA|QUADRIL|\bHEUP|\bHOFT|BIODR|ТАЗОБЕДР|ΙΣΧΙ|KALCA|髋|股関節",
    r"SHOULDER|SCHULTER|EPAULE|HOMBRO|SPALLA|OMBRO|SCHOUDER|\bAXEL\b|\bBARK|ПЛЕЧ|\bΩΜΟ|OMUZ|肩",
    r"ANKLE|SPRUNGGELENK|CHEVILLE|TOBILLO|CAVIGLIA|TORNOZELO|ENKEL|FOTLED|ГОЛЕНОСТОП|足関節|踝",
    r"WRIST|HANDGELENK|POIGNET|MUNECA|\bPOLSO|PUNHO|HANDLED|NADGARST|ЗАПЯСТ|EL BILEK|手関節|腕",
    r"ELBOW|ELLENBOGEN|\bCOUDE|\bCODO\b|GOMITO|COTOVELO|ELLEBOOG|ARMBAG|LOKIEC|ЛОКТ|DIRSEK|肘",
    rf"\bHANDS?\b|\bMANO\b|{_MAIN}|КИСТ|\b[ΧX]ΕΡΙ|手|\bFOOT\b|\bFEET\b|\bFUSS|\bPIED\b|\bVOET|\bСТОП|足",
    r"FEMUR|TIBIA|HUMERUS|MAMM|\bDENTAL|ZAHN",
)
"""Other parts, as descriptions name them; they count only where no chest word stands beside them."""

LATERAL = _any(
    r"(?<!BI)(?<!COL)(?<!UNI)LATERAL(?!ITY)|\bLAT\b|\bLL\b|\bRL\b|\bLATERO|\bPROFIL|\bPERFIL\b|\bSEITL|\bSEITENBILD",
    r"ZIJDELINGS|\bDWARS|\bSIDOBILD|\bSIDA\b|BOCZN|БОКОВ|ΠΛΑΓΙ|\bYAN\b|[侧側]位|側面",
    r"OBLIQ|OBLIC|\bOBL\b|\bSCHRAG|SCHUIN|SKOSN|КОСАЯ|КОСОИ|ΛΟΞ|OBLIK|斜位",
    r"DECUB|\b[LR]LD\b|\b[LR]LO\b|\b[LR][AP]O\b",
)
"""Lateral, oblique and decubitus projections, with the defined terms of View Position (C.8.3.1, C.8.11.2)."""

_PA = _any(r"\bPA\b|POSTERO[ -]?ANTERIOR|POSTEROANTERIEUR|TYLNO-PRZEDNI|ЗАДНЕ-?ПЕРЕДН|ΟΠΙΣΘΟΠΡΟΣΘΙ|[后後]前位")
_AP = _any(r"\bAP\b|ANTERO[ -]?POSTERIOR|PRZEDNIO-TYLN|ПЕРЕДНЕ-?ЗАДН|ΠΡΟΣΘΙΟΠΙΣΘΙ|ΠΡΟΣΘΟΠΙΣΘΙ|前[后後]位")
_FRONTAL = _any(r"FRONTAL|\bFACE\b|\bFRENTE\b|ПРЯМАЯ|ПРЯМОИ|ΜΕΤΩΠΙΑΙ|正面|正位")
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


_LETTERS = str.maketrans({"_": " ", "Ł": "L", "Ø": "O", "Æ": "AE"})
"""Letters that are no letter and accent to Unicode."""


_UNSPACED = re.compile(r"[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\U0003ffff]")
"""Letters of Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean."""


def plain(words: str) -> str:
    """Upper case without accents, underscores and dots; ``p.a.`` becomes ``PA``."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    joined = _DOTTED.sub(lambda match: match[0][0] + match[0][-1], bare.upper().translate(_LETTERS))
    return " ".join(joined.replace(".", " ").split())


def says_nothing(part: str) -> bool:
    """Whether a plain body part is one that nobody filled."""
    return part in NOTHING or not any(c.isalnum() for c in part)


def names_chest(words: str, more: Sequence[str] = ()) -> bool:
    """Whether plain words name the chest, and not the spine behind it; ``more`` are a site's own words."""
    return _among(words, more) or (bool(CHEST.search(words)) and not NOT_CHEST.search(words))


def names_other_part(words: str, more: Sequence[str] = (), chest: Sequence[str] = ()) -> bool:
    """Whether plain words name another part of the body and not the chest."""
    return (bool(ELSEWHERE.search(words)) or _among(words, more)) and not names_chest(words, chest)


def frontal_in(words: str, more: Sequence[str] = ()) -> View | None:
    """The frontal projection that plain words name; FRONTAL where they name both PA and AP."""
    pa, ap = bool(_PA.search(words)), bool(_AP.search(words))
    if pa != ap:
        return View.PA if pa else View.AP
    return View.FRONTAL if pa or _FRONTAL.search(words) or _among(words, more) else None


def lateral_in(words: str, more: Sequence[str] = ()) -> bool:
    """Whether plain words name a lateral, oblique or decubitus projection."""
    return bool(LATERAL.search(words)) or _among(words, more)


def without(words: str, ignored: Sequence[str]) -> str:
    """Plain words without those that mean nothing where they are typed."""
    for word in ignored:
        words = " ".join(_whole(word).sub(" ", words).split())
    return words


def _among(words: str, more: Sequence[str]) -> bool:
    return any(_whole(word).search(words) for word in more)


def _whole(word: str) -> re.Pattern[str]:
    """A word that is no part of another; in a script without spaces any place may be a word's end."""
    spelt = plain(word)
    before = "" if _UNSPACED.match(spelt[:1]) else r"(?<!\w)"
    after = "" if _UNSPACED.match(spelt[-1:]) else r"(?!\w)"
    return re.compile(before + re.escape(spelt) + after)
