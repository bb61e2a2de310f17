"""Which objects a model may judge: a pure function over the header, with a coded reason for every refusal.

The order and the words come from 7,469 real headers of the Open-i collection: a third carry no view and no body
part (so blank is never a reason), 88 % say DERIVED (so neither is that), 13 % are of class DX but say modality CR,
and half are MONOCHROME1.
"""

from __future__ import annotations

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
)

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

MIN_SIDE = 200
"""Pixels; below it a film is a thumbnail. The smallest real film of the collection has more than twice as many."""

QUOTED = 32
"""Characters of a header's value that a message repeats."""


class Admitted(NamedTuple):
    """A film that a model may judge.

    Attributes
    ----------
    view : View
        What the header tells of the projection.
    notes : tuple of str
        What a reader of the result should know.
    """

    view: View
    notes: tuple[str, ...]


def judge(header: Dataset) -> Admitted:
    """Admit a frontal chest radiograph, or refuse with the first reason that applies.

    Parameters
    ----------
    header : Dataset
        Everything before the pixels.

    Raises
    ------
    Refused
        FOR_PROCESSING, SOP_CLASS, MODALITY, NO_PIXELS, COLOUR, MULTIFRAME, TOO_SMALL, BODY_PART or LATERAL.
    """
    words = plain(" ".join(text(header, keyword) for keyword in DESCRIPTIONS))
    _check_kind(header)
    _check_matrix(header)
    _check_body_part(header, words)
    view, notes = _view(header, words)
    return Admitted(view, notes + _lie(header))


def _check_kind(header: Dataset) -> None:
    klass = sop.UID(text(header, "SOPClassUID"))
    modality = text(header, "Modality").upper()
    if klass in FOR_PROCESSING or text(header, "PresentationIntentType").upper() == "FOR PROCESSING":
        raise Refused(
            Reason.FOR_PROCESSING, "FOR PROCESSING pixels are not for display; send the FOR PRESENTATION film"
        )
    if klass not in RADIOGRAPHS | CAPTURES:
        raise Refused(Reason.SOP_CLASS, f"{klass.name} is no radiograph")
    allowed = CAPTURE_MODALITIES if klass in CAPTURES else MODALITIES | {""}
    if modality not in allowed:
        raise Refused(Reason.MODALITY, f"modality {modality[:QUOTED]} is not CR or DX")
    if klass in CAPTURES and items(header, "SourceImageSequence"):
        raise Refused(Reason.SOP_CLASS, "a capture made from another image (a result, a key image) is not analysed")


def _check_matrix(header: Dataset) -> None:
    rows, columns = number(header, "Rows"), number(header, "Columns")
    if not rows or not columns:
        raise Refused(Reason.NO_PIXELS, "the header gives no Rows or Columns")
    if text(header, "SamplesPerPixel") not in {"", "1"} or not _is_grey(header):
        raise Refused(Reason.COLOUR, "a colour image is no radiograph")
    if (number(header, "NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTIFRAME, "a multi-frame object is no single film")
    if min(rows, columns) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL, f"{columns:.0f} x {rows:.0f} pixels are fewer than {MIN_SIDE} a side")


def _is_grey(header: Dataset) -> bool:
    return text(header, "PhotometricInterpretation").upper() in GREY


def _check_body_part(header: Dataset, words: str) -> None:
    part = plain(text(header, "BodyPartExamined"))
    codes = _codes(header, "AnatomicRegionSequence")
    if not says_nothing(part):
        if not names_chest(part):
            raise Refused(Reason.BODY_PART, f"body part {part[:QUOTED]} is not the chest")
    elif codes:
        if not codes & CHEST_CODES:
            raise Refused(Reason.BODY_PART, "the anatomic region code is not the chest's")
    elif names_other_part(words):
        raise Refused(Reason.BODY_PART, "the series or protocol description names another body part")


def _view(header: Dataset, words: str) -> tuple[View, tuple[str, ...]]:
    position = plain(text(header, "ViewPosition"))
    codes = _codes(header, "ViewCodeSequence")
    direction = text(header, "PatientOrientation").upper()[:1]
    if lateral_in(position) or codes & LATERAL_CODES or direction in {"A", "P"}:
        said = position or ("by code" if codes & LATERAL_CODES else f"rows run to {direction}")
        raise Refused(Reason.LATERAL, f"the header names a lateral or oblique view ({said[:QUOTED]})")
    named = frontal_in(position)
    if named in {View.PA, View.AP}:
        return named, ()
    coded = sorted(FRONTAL_CODES[code] for code in codes & FRONTAL_CODES.keys())
    if coded:
        return coded[0], ()
    if named or direction in {"L", "R"}:
        return View.FRONTAL, ()
    lateral, frontal = lateral_in(words), frontal_in(words)
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


def _codes(header: Dataset, keyword: str) -> set[str]:
    return {text(item, "CodeValue") for item in items(header, keyword)} - {""}
