"""The kinds of object that cxrd makes, and what one object is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid

from cxrd.findings import ArtefactKind, FilmAnalysis
from cxrd.report.facts import PRODUCT, ReportFacts


class Product(NamedTuple):
    """A kind's SOP class, modality, and the series it lies in."""

    sop_class: str
    modality: str
    series_number: int
    series_description: str


PRODUCTS: Mapping[ArtefactKind, Product] = MappingProxyType(
    {
        ArtefactKind.SR: Product(uid.Comprehensive3DSRStorage, "SR", 9901, f"{PRODUCT} AI findings"),
        ArtefactKind.SC: Product(uid.SecondaryCaptureImageStorage, "OT", 9902, f"{PRODUCT} AI heatmap"),
        ArtefactKind.GSPS: Product(uid.GrayscaleSoftcopyPresentationStateStorage, "PR", 9903, f"{PRODUCT} AI contours"),
        ArtefactKind.SEG: Product(uid.SegmentationStorage, "SEG", 9904, f"{PRODUCT} AI region of evidence"),
        # the standard names no modality for Parametric Map; OT is what archives take for a map of no modality's own
        ArtefactKind.PM: Product(uid.ParametricMapStorage, "OT", 9905, f"{PRODUCT} AI evidence values"),
        ArtefactKind.SR_COMPREHENSIVE: Product(uid.ComprehensiveSRStorage, "SR", 9906, f"{PRODUCT} AI findings"),
        ArtefactKind.SR_TEXT: Product(uid.BasicTextSRStorage, "SR", 9907, f"{PRODUCT} AI findings"),
    }
)
"""SOP class and series of every kind; series descriptions are what a reader sees in the list."""


YELLOW = (56924, 32863, 52035)
"""CIELab of RGB 255, 214, 64, the outline's colour in the picture, each in 16 bit as PS3.3 C.10.7.1.1 encodes it."""


@dataclass(frozen=True, slots=True)
class Film:
    """An analysed film as the builders see it.

    Attributes
    ----------
    found : FilmAnalysis
        What the models answered.
    source : Dataset
        Header as received: anything may be wrong with it.
    header : Dataset
        Its shim: patient and study facts made valid.
    preview : uint8 (h, w)
        Display-ready film in the source's orientation.
    """

    found: FilmAnalysis
    source: Dataset
    header: Dataset
    preview: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imprint:
    """What identifies one object to be made; all of it derived, nothing of it chance.

    Attributes
    ----------
    number : int
        Instance number in the series, from 1.
    device_uid : str
        Device UID of this node with this model set.
    now : datetime
        Content time, with UTC offset.
    """

    kind: ArtefactKind
    sop_uid: str
    series_uid: str
    number: int
    facts: ReportFacts
    device_uid: str
    now: datetime

    @property
    def product(self) -> Product:
        """Class and series of the kind."""
        return PRODUCTS[self.kind]


class Reference(NamedTuple):
    """An object of the same study that another one points to."""

    sop_class: str
    sop_uid: str
    series_uid: str


class Predecessor(NamedTuple):
    """An earlier report that a new one replaces."""

    kind: ArtefactKind
    sop_class: str
    sop_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a report tells.

    Attributes
    ----------
    films : sequence of Film
        What was analysed; nothing where no film may be judged.
    header : Dataset
        Shim of a source image: whose study it is.
    evidence : sequence of Reference
        The source images.
    remarks : sequence of str
        What a reader should know beside the findings.
    predecessor : Predecessor or None
        The report that this one replaces.
    """

    films: Sequence[Film]
    header: Dataset
    evidence: Sequence[Reference]
    remarks: Sequence[str]
    predecessor: Predecessor | None
