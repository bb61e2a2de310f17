"""The Parametric Map (PS3.3 A.75): the heat's values on the finest grid of the models, as parts of their peak.

A radiograph has no frame of reference, and the standard wants one here: the map gets its own, the plane of the film
with its origin at the film's top left corner. Where the source states no spacing, a pixel counts as a millimetre.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.report import codes, greyscale
from cxrd.report.composite import encode, from_film, identify_private_codes
from cxrd.report.equipment import coded
from cxrd.report.facts import PRODUCT
from cxrd.report.multiframe import Mapped, begin_frames, frame_content, index_by, mapped
from cxrd.report.products import Film, Imprint
from cxrd.report.uids import derive
from cxrd.vocabulary import CHEST

IMAGE_TYPE = ["DERIVED", "PRIMARY", "OTHER", "QUANTITY"]


def build(film: Film, imprint: Imprint) -> bytes | None:
    """Build the parametric map of one film; Part 10 file, None where no finding is localised."""
    shown = mapped(film)
    if not shown:
        return None
    height, width = max((m.heat.height, m.heat.width) for m in shown)
    made = begin_frames(film, imprint, shown, label="AI_EVIDENCE", description=f"{PRODUCT} evidence by its peak")
    made.ImageType = IMAGE_TYPE
    made.BurnedInAnnotation = "NO"
    made.RecognizableVisualFeatures = "NO"
    made.ContentQualification = "RESEARCH" if imprint.facts.research_use else "PRODUCT"
    made.PresentationLUTShape = "IDENTITY"
    made.FrameOfReferenceUID = derive("frame", film.found.film.sop_uid)
    made.PositionReferenceIndicator = ""
    made.Rows, made.Columns, made.BitsAllocated = height, width, 32
    index_by(made, imprint, "FrameLabel", "FrameContentSequence")
    made.SharedFunctionalGroupsSequence = [_shared(film, height, width)]
    made.PerFrameFunctionalGroupsSequence = [_frame(n, m, film) for n, m in enumerate(shown, 1)]
    made.AcquisitionContextSequence = []
    identify_private_codes(made, *(m.finding.code for m in shown))
    values = np.stack([_on(m, height, width) for m in shown])
    made.add_new("FloatPixelData", "OF", values.astype("<f4").tobytes())
    return encode(made)


def _on(shown: Mapped, height: int, width: int) -> NDArray[np.float32]:
    """A heat on a grid that is at least as fine as its own."""
    return np.asarray(cv2.resize(shown.heat.grid(), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _shared(film: Film, height: int, width: int) -> Dataset:
    down, across = greyscale.pixel_size(film.source) or (1.0, 1.0)
    cell = (down * film.found.film.rows / height, across * film.found.film.columns / width)
    measures = Dataset()
    measures.PixelSpacing = [f"{v:.8g}" for v in cell]
    measures.SliceThickness = "1"
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    position = Dataset()  # the middle of the first cell
    position.ImagePositionPatient = [f"{cell[1] / 2:.8g}", f"{cell[0] / 2:.8g}", "0"]
    frame_type = Dataset()
    frame_type.FrameType = IMAGE_TYPE
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    groups.PlaneOrientationSequence = [orientation]
    groups.PlanePositionSequence = [position]
    groups.ParametricMapFrameTypeSequence = [frame_type]
    groups.FrameVOILUTSequence = [_window()]
    groups.PixelValueTransformationSequence = [_identity()]
    groups.FrameAnatomySequence = [_anatomy()]
    return groups


def _frame(number: int, shown: Mapped, film: Film) -> Dataset:
    source = from_film(film.found.film)
    source.SpatialLocationsPreserved = "NO"
    derivation = Dataset()
    derivation.SourceImageSequence = [source]
    derivation.DerivationCodeSequence = [coded(codes.SALIENCY)]
    groups = Dataset()
    groups.FrameContentSequence = [frame_content(number, shown.label)]
    groups.DerivationImageSequence = [derivation]
    groups.RealWorldValueMappingSequence = [_meaning(shown)]
    return groups


def _meaning(shown: Mapped) -> Dataset:
    """What a value is: a part of the map's own peak, of one finding (C.7.6.16.2.11)."""
    quantity = Dataset()
    quantity.ValueType = "CODE"
    quantity.ConceptNameCodeSequence = [coded(codes.QUANTITY)]
    quantity.ConceptCodeSequence = [coded(codes.SALIENCY)]
    of = Dataset()
    of.ValueType = "CODE"
    of.ConceptNameCodeSequence = [coded(codes.FINDING)]
    of.ConceptCodeSequence = [coded(codes.concept(shown.finding.code))]
    item = Dataset()
    item.LUTLabel = "EVIDENCE"
    item.LUTExplanation = f"{shown.label}: part of the map's peak"[:64]
    item.DoubleFloatRealWorldValueFirstValueMapped = 0.0
    item.DoubleFloatRealWorldValueLastValueMapped = 1.0
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1.0
    item.MeasurementUnitsCodeSequence = [coded(codes.NO_UNITS)]
    item.QuantityDefinitionSequence = [quantity, of]
    return item


def _window() -> Dataset:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = "0.5", "1"
    item.VOILUTFunction = "LINEAR_EXACT"
    return item


def _identity() -> Dataset:
    item = Dataset()
    item.RescaleIntercept, item.RescaleSlope, item.RescaleType = "0", "1", "US"
    return item


def _anatomy() -> Dataset:
    item = Dataset()
    item.AnatomicRegionSequence = [coded(codes.concept(CHEST))]
    item.FrameLaterality = "U"
    return item
