"""The Segmentation (PS3.3 A.51): the region of evidence of each localised finding, pixel by pixel of the film.

Binary, not fractional: evidence is no probability and no part of a pixel, and a bit for each pixel keeps a film's
region below a megabyte. The values themselves are in the Parametric Map.
"""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from cxrd.imaging.evidence import region
from cxrd.report import codes
from cxrd.report.composite import encode, from_film, identify_private_codes
from cxrd.report.equipment import coded
from cxrd.report.facts import PRODUCT
from cxrd.report.multiframe import Mapped, begin_frames, frame_content, index_by, mapped
from cxrd.report.products import YELLOW, Film, Imprint
from cxrd.report.uids import derive


def build(film: Film, imprint: Imprint) -> bytes | None:
    """Build the segmentation of one film; Part 10 file, None where no finding is localised."""
    shown = mapped(film)
    if not shown:
        return None
    ref = film.found.film
    made = begin_frames(
        film, imprint, shown, label="AI_EVIDENCE", description=f"{PRODUCT} evidence above half of its peak"
    )
    made.ImageType = ["DERIVED", "PRIMARY"]
    made.Rows, made.Columns = ref.rows, ref.columns
    made.BitsAllocated = made.BitsStored = 1
    made.HighBit = made.PixelRepresentation = 0
    made.SegmentationType = "BINARY"
    made.SegmentSequence = [_segment(n, m, film, imprint) for n, m in enumerate(shown, 1)]
    identify_private_codes(made, *(m.finding.code for m in shown))
    index_by(made, imprint, "ReferencedSegmentNumber", "SegmentIdentificationSequence")
    made.SharedFunctionalGroupsSequence = [Dataset()]
    made.PerFrameFunctionalGroupsSequence = [_frame(n, film) for n in range(1, len(shown) + 1)]
    bits = np.concatenate([region(m.heat.grid(), ref.rows, ref.columns).ravel() for m in shown])
    packed = np.packbits(bits, bitorder="little").tobytes()  # the first pixel is the lowest bit (PS3.5 8.1.1)
    made.add_new("PixelData", "OB", packed + b"\0" * (len(packed) % 2))
    return encode(made)


def _segment(number: int, shown: Mapped, film: Film, imprint: Imprint) -> Dataset:
    finding, model = shown.finding, shown.answer.model
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = shown.label
    item.SegmentDescription = f"Probability {finding.probability:.4f}. Model evidence, no outline of disease."
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = model.id[:64]
    item.SegmentedPropertyCategoryCodeSequence = [coded(codes.ABNORMAL_STRUCTURE)]
    item.SegmentedPropertyTypeCodeSequence = [coded(codes.concept(finding.code))]
    if finding.site:
        item.AnatomicRegionSequence = [coded(codes.concept(finding.site))]
    item.RecommendedDisplayCIELabValue = list(YELLOW)
    item.TrackingID = shown.label
    item.TrackingUID = derive("finding", film.found.film.sop_uid, model.id, model.digest, finding.class_id)
    algorithm = Dataset()
    algorithm.AlgorithmFamilyCodeSequence = [coded(codes.ALGORITHM_FAMILY)]
    algorithm.AlgorithmName, algorithm.AlgorithmVersion = model.id, model.version
    algorithm.AlgorithmParameters = f"sha256 {model.digest}"
    algorithm.AlgorithmSource = imprint.facts.manufacturer
    item.SegmentationAlgorithmIdentificationSequence = [algorithm]
    return item


def _frame(number: int, film: Film) -> Dataset:
    source = from_film(film.found.film)
    source.SpatialLocationsPreserved = "YES"
    derivation = Dataset()
    derivation.SourceImageSequence = [source]
    derivation.DerivationCodeSequence = [coded(codes.SEGMENTATION)]
    segment = Dataset()
    segment.ReferencedSegmentNumber = number
    groups = Dataset()
    groups.FrameContentSequence = [frame_content(number)]
    groups.DerivationImageSequence = [derivation]
    groups.SegmentIdentificationSequence = [segment]
    return groups
