"""Which objects a model may judge: a pure function over the header, with a coded reason for every refusal.

The order and the words come from 7,469 real headers of the Open-i collection: a third carry no view and no body
part (so blank is never a reason), 88 % say DERIVED (so neither is that), 13 % are of class DX but say modality CR,
and half are MONOCHROME1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydicom import Dataset
from pydicom import uid as sop

from cxrd.errors import Reason, Refused
from cxrd.findings import View
from cxrd.imaging.display import number
from cxrd.imaging.header import items, text
from cxrd.imaging.wording import (
    CHEST_CODES,
    FRONTAL_CODES,
    LATERAL_CODES,
    frontal_in,
    lateral_in,
    names_chest,
    names_other_part,
    plain,
    says_nothing,
    without,
)
from cxrd.rules import SHIPPED, Admission

RADIOGRAPHS = frozenset({sop.ComputedRadiographyImageStorage, sop.DigitalXRayImageStorageForPresentation})
FOR_PROCESSING = frozenset({sop.DigitalXRayImageStorageForProcessing})
CAPTURES = frozenset(
    {
        sop.SecondaryCaptureImageStorage,
        sop.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        sop.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    }
)
MODALITIES = frozenset({"CR", "DX"})
CAPTURE_MODALITIES = MODALITIES | {"OT", ""}  # scanned films and wrapped pictures say OT or nothing
GREY = frozenset({"MONOCHROME1", "MONOCHROME2", ""})

DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
"""Where a console names the film; study and procedure descriptions name the study and are not asked."""

CONTENT = {
    "lateral": (Reason.LATERAL, "a lateral film"),
    "turned": (Reason.TURNED, "a film that lies on its side or stands on its head"),
    "inverted": (Reason.INVERTED, "a film with inverted greys"),
    "not_chest": (Reason.NOT_CHEST_FILM, "no chest film"),
}
"""What kinds of picture are refused as."""

QUOTED = 32
"""Characters of a header's value that a message repeats."""


RAW = "FOR PROCESSING pixels are not for display"


class Admitted(NamedTuple):
    """A film that a model may judge.

    Attributes
    ----------
    view : View
        What the header tells of the projection.
    notes : tuple of str
        What a reader of the result should know.
    sources : frozenset of str
        SOP Instance UIDs of the images it says it was made from (Source Image Sequence, C.7.6.1.1.4).
    """

    view: View
    notes: tuple[str, ...]
    sources: frozenset[str]


def judge(header: Dataset, rules: Admission = SHIPPED) -> Admitted:
    """Admit a frontal chest radiograph, or refuse with the first reason that applies.

    Parameters
    ----------
    header : Dataset
        Everything before the pixels.
    rules : Admission
        What a site decided, and its own words.

    Raises
    ------
    Refused
        FOR_PROCESSING, SOP_CLASS, MODALITY, LOCALIZER, NO_PIXELS, COLOUR, MULTIFRAME, TOO_SMALL, BURNED_IN, BODY_PART
        or LATERAL.
    """
    words = _plain(" ".join(text(header, keyword) for keyword in DESCRIPTIONS), rules)
    _check_kind(header, rules)
    _check_matrix(header, rules)
    burned = _burned_in(header, rules)
    _check_body_part(header, words, rules)
    view, notes = _view(header, words, rules)
    sources = frozenset(text(item, "ReferencedSOPInstanceUID") for item in items(header, "SourceImageSequence"))
    return Admitted(view, notes + _lie(header) + burned, sources - {""})


def contradiction(shown: Mapping[str, float], view: View, rules: Admission) -> Refused | None:
    """Hold what a film's pixels show against its header.

    Parameters
    ----------
    shown : mapping of str to float
        Probability of each kind of picture, 0..1; "frontal" among them.
    view : View
        What the header tells. A header that names a frontal view speaks for the film, so its pixels must contradict
        strongly; where it names none they alone decide.
    rules : Admission
        The least probabilities.

    Returns
    -------
    Refused or None
        LATERAL, TURNED, INVERTED or NOT_CHEST_FILM, by the likeliest other kind; None where the film may pass.
    """
    least = rules.frontal_unnamed if view is View.UNKNOWN else rules.frontal_named
    if shown["frontal"] >= least:
        return None
    kind = max((name for name in shown if name != "frontal"), key=lambda name: shown[name])
    reason, words = CONTENT.get(kind, CONTENT["not_chest"])
    return Refused(reason, f"the pixels show {words} (frontal {shown['frontal']:.2f}, {kind} {shown[kind]:.2f})")


def instead(raw: str, judged: Mapping[str, frozenset[str]]) -> Refused:
    """Say which film of a study is judged in place of a FOR PROCESSING image.

    Parameters
    ----------
    raw : str
        SOP Instance UID of the image.
    judged : mapping of str to frozenset of str
        SOP Instance UIDs of the study's admitted films, and of what each was made from.
    """
    made_of_it = [uid for uid, sources in judged.items() if raw in sources]
    if made_of_it:
        return Refused(Reason.FOR_PROCESSING, f"{RAW}; the film made from them is judged, image {made_of_it[0]}")
    if judged:
        others = f" and {len(judged) - 1} more" if len(judged) > 1 else ""
        words = f"{RAW}; what the study has for display is judged, image {next(iter(judged))}{others}"
        return Refused(Reason.FOR_PROCESSING, words)
    return Refused(Reason.FOR_PROCESSING, f"{RAW}; send the FOR PRESENTATION film")


def _check_kind(header: Dataset, rules: Admission) -> None:
    klass = sop.UID(text(header, "SOPClassUID"))
    modality = text(header, "Modality").upper()
    if klass in FOR_PROCESSING or text(header, "PresentationIntentType").upper() == "FOR PROCESSING":
        raise instead(text(header, "SOPInstanceUID"), {})
    if klass not in RADIOGRAPHS | CAPTURES | {*rules.film_classes}:
        raise Refused(Reason.SOP_CLASS, f"{klass.name} is no radiograph")
    allowed = CAPTURE_MODALITIES if klass in CAPTURES else MODALITIES | {""}
    if modality not in allowed | {*rules.film_modalities}:
        raise Refused(Reason.MODALITY, f"modality {modality[:QUOTED]} is not CR or DX")
    if klass in CAPTURES and items(header, "SourceImageSequence"):
        raise Refused(Reason.SOP_CLASS, "a capture made from another image (a result, a key image) is not analysed")
    if "LOCALIZER" in text(header, "ImageType").upper().split("\\")[2:3]:
        raise Refused(Reason.LOCALIZER, "a localizer plans an examination and is no film of it")


def _check_matrix(header: Dataset, rules: Admission) -> None:
    rows, columns = number(header, "Rows"), number(header, "Columns")
    if not rows or not columns:
        raise Refused(Reason.NO_PIXELS, "the header gives no Rows or Columns")
    if text(header, "SamplesPerPixel") not in {"", "1"} or not _is_grey(header):
        raise Refused(Reason.COLOUR, "a colour image is no radiograph")
    if (number(header, "NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTIFRAME, "a multi-frame object is no single film")
    if min(rows, columns) < rules.smallest:
        raise Refused(Reason.TOO_SMALL, f"{columns:.0f} x {rows:.0f} pixels are fewer than {rules.smallest} a side")


def _is_grey(header: Dataset) -> bool:
    return text(header, "PhotometricInterpretation").upper() in GREY


def _burned_in(header: Dataset, rules: Admission) -> tuple[str, ...]:
    """Text in the pixels (C.7.6.1.1.5) may name the patient, and the picture that is sent back would show it."""
    if text(header, "BurnedInAnnotation").upper() != "YES":
        return ()
    if rules.burned_in == "refuse":
        raise Refused(Reason.BURNED_IN, "the header says that text is burnt into the pixels")
    return ("the header says that text is burnt into the pixels",)


def _check_body_part(header: Dataset, words: str, rules: Admission) -> None:
    part = _plain(text(header, "BodyPartExamined"), rules)
    codes = _codes(header, "AnatomicRegionSequence", rules)
    if not says_nothing(part):
        if not names_chest(part, rules.chest_words):
            raise Refused(Reason.BODY_PART, f"body part {part[:QUOTED]} is not the chest")
    elif codes:
        if not codes.keys() & CHEST_CODES and not any(names_chest(m, rules.chest_words) for m in codes.values()):
            raise Refused(Reason.BODY_PART, "the anatomic region code is not the chest's")
    elif names_other_part(words, rules.other_words, rules.chest_words):
        raise Refused(Reason.BODY_PART, "the series or protocol description names another body part")


def _view(header: Dataset, words: str, rules: Admission) -> tuple[View, tuple[str, ...]]:
    position = _plain(text(header, "ViewPosition"), rules)
    codes = _codes(header, "ViewCodeSequence", rules)
    meanings = " ".join(codes[code] for code in sorted(codes.keys() - LATERAL_CODES - FRONTAL_CODES.keys()))
    direction = text(header, "PatientOrientation").upper()[:1]
    sideways = bool(codes.keys() & LATERAL_CODES) or lateral_in(meanings, rules.lateral_words)
    if lateral_in(position, rules.lateral_words) or sideways or direction in {"A", "P"}:
        said = position or ("by code" if sideways else f"rows run to {direction}")
        raise Refused(Reason.LATERAL, f"the header names a lateral or oblique view ({said[:QUOTED]})")
    named = frontal_in(position, rules.frontal_words)
    if named in {View.PA, View.AP}:
        return named, ()
    coded = sorted(FRONTAL_CODES[code] for code in codes.keys() & FRONTAL_CODES.keys())
    if by_code := (coded[0] if coded else frontal_in(meanings, rules.frontal_words)):
        return by_code, ()
    if named or direction in {"L", "R"}:
        return View.FRONTAL, ()
    lateral, frontal = lateral_in(words, rules.lateral_words), frontal_in(words, rules.frontal_words)
    if lateral and not frontal:  # "CHEST PA AND LATERAL" names a study, not a film
        raise Refused(Reason.LATERAL, "the series or protocol description names a lateral view")
    if frontal and not lateral:
        return frontal, ("the view was read from the series or protocol description",)
    return View.UNKNOWN, ("the header names no view",)


def _lie(header: Dataset) -> tuple[str, ...]:
    """Note a film that is not stored upright: columns of an upright one run to F (C.7.6.1.1.1)."""
    directions = text(header, "PatientOrientation").upper().split("\\")
    if directions[0][:1] in {"F", "H"}:
        return ("the header says that the film lies on its side",)
    return ("the header says that the film stands on its head",) if directions[1:] and directions[1][:1] == "H" else ()


def _plain(words: str, rules: Admission) -> str:
    """Words as they are matched, without those that mean nothing at this site."""
    return without(plain(words), rules.ignored_words)


def _codes(header: Dataset, keyword: str, rules: Admission) -> dict[str, str]:
    """Values of a code sequence with their plain meanings; a vendor's own code is known by its meaning alone."""
    found = {text(item, "CodeValue"): _plain(text(item, "CodeMeaning"), rules) for item in items(header, keyword)}
    return {value: meaning for value, meaning in found.items() if value}
