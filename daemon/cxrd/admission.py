"""Which objects a model may judge: a pure function over the header, with a coded reason for every refusal.

The order and the words come from 7,469 real headers of the Open-i collection: a third carry no view and no body
part (so blank is never a reason), 88 % say DERIVED (so neither is that), 13 % are of class DX but say modality CR,
and half are MONOCHROME1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydicom import Dataset
from pydicom import uid as sop

from cxrd.errors import Reason, Refused
from cxrd.findings import View
from cxrd.imaging.display import number
from cxrd.imaging.header import text

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

CHEST_WORDS = re.compile(r"CHEST|THORAX|THORAC|LUNG|RIB|TORAX|BRUST|POITRINE|PECHO|HEART|STERN", re.IGNORECASE)
CHEST_CODES = frozenset({"816094009", "51185008", "T-D3000", "39607008", "T-28000", "302551006", "43799004"})
LATERAL_WORDS = re.compile(
    r"\bLL\b|\bRL\b|\bLAT\b|LATERAL|\bPROFIL|SEITLICH|\bLLD\b|\bRLD\b|OBLIQUE|DECUB", re.IGNORECASE
)
FRONTAL_WORDS = re.compile(r"FRONTAL", re.IGNORECASE)
POSITION_IN_WORDS = re.compile(r"\b(?P<view>PA|AP)\b", re.IGNORECASE)
LATERAL_CODES = frozenset({"R-10236", "R-10232", "R-10228", "399173006", "399198007", "399067008", "399260004"})
VIEW_CODES = {
    "R-10214": View.PA, "272479007": View.PA, "R-10206": View.AP, "399348003": View.AP,
    "R-10202": View.FRONTAL, "399033003": View.FRONTAL,
}  # fmt: skip
MIN_SIDE = 200
"""Pixels; below it a film is a thumbnail. The smallest real film of the collection has more than twice as many."""


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
        SOP_CLASS, FOR_PROCESSING, MODALITY, NO_PIXELS, COLOUR, MULTIFRAME, TOO_SMALL, BODY_PART or LATERAL.
    """
    _check_kind(header)
    _check_matrix(header)
    _check_body_part(header)
    return _view(header)


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
        raise Refused(Reason.MODALITY, f"modality {modality} is not CR or DX")
    if klass in CAPTURES and "SourceImageSequence" in header:
        raise Refused(Reason.SOP_CLASS, "a capture made from another image (a result, a key image) is not analysed")


def _check_matrix(header: Dataset) -> None:
    rows, columns = number(header, "Rows"), number(header, "Columns")
    if not rows or not columns:
        raise Refused(Reason.NO_PIXELS, "the header gives no Rows or Columns")
    if text(header, "SamplesPerPixel") not in {"", "1"}:
        raise Refused(Reason.COLOUR, "a colour image is no radiograph")
    if (number(header, "NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTIFRAME, "a multi-frame object is no single film")
    if min(rows, columns) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL, f"{columns:.0f} x {rows:.0f} pixels are fewer than {MIN_SIDE} a side")


def _check_body_part(header: Dataset) -> None:
    part = text(header, "BodyPartExamined")
    codes = _codes(header, "AnatomicRegionSequence")
    if part and not CHEST_WORDS.search(part):
        raise Refused(Reason.BODY_PART, f"body part {part} is not the chest")
    if not part and codes and not codes & CHEST_CODES:
        raise Refused(Reason.BODY_PART, "the anatomic region code is not the chest's")


def _view(header: Dataset) -> Admitted:
    position = text(header, "ViewPosition").upper()
    codes = _codes(header, "ViewCodeSequence")
    direction = text(header, "PatientOrientation").upper()[:1]
    words = " ".join(
        text(header, k) for k in ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
    )
    if LATERAL_WORDS.search(position) or codes & LATERAL_CODES or direction in {"A", "P"}:
        raise Refused(
            Reason.LATERAL, f"the header names a lateral or oblique view ({position or direction or 'by code'})"
        )
    if position in {"PA", "AP"}:
        return Admitted(View(position), ())
    for code in codes & set(VIEW_CODES):
        return Admitted(VIEW_CODES[code], ())
    if match := POSITION_IN_WORDS.match(position):
        return Admitted(View(match["view"].upper()), ())
    if FRONTAL_WORDS.search(position) or direction in {"L", "R"}:
        return Admitted(View.FRONTAL, ())
    lateral, named = LATERAL_WORDS.search(words), POSITION_IN_WORDS.search(words)
    if lateral and not named and not FRONTAL_WORDS.search(words):  # "CHEST PA AND LATERAL" names a study, not a film
        raise Refused(Reason.LATERAL, "the series or protocol description names a lateral view")
    if named and not lateral:
        return Admitted(View(named["view"].upper()), ("the view was read from the series or protocol description",))
    return Admitted(View.UNKNOWN, ("the header names no view",))


def _codes(header: Dataset, keyword: str) -> set[str]:
    return {text(item, "CodeValue") for item in header.get(keyword) or ()} - {""}
