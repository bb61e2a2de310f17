"""What Segmentation and Parametric Map share: enhanced equipment, one frame for each localised finding, dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag

from cxrd.findings import Finding, Heat, ModelAnswer
from cxrd.report.composite import begin, in_series, name_content
from cxrd.report.products import Film, Imprint
from cxrd.report.uids import derive


class Mapped(NamedTuple):
    """A present finding with the heat that localises it."""

    answer: ModelAnswer
    finding: Finding
    heat: Heat

    @property
    def label(self) -> str:
        """Finding and model, as a viewer lists them."""
        return f"{self.finding.class_id} ({self.answer.model.id})"[:64]


def mapped(film: Film) -> list[Mapped]:
    """Present findings that a model localises; a map without a box tells nobody where to look."""
    return [Mapped(a, x, x.heat) for a, x in film.found.present() if x.heat and x.boxes]


def begin_frames(film: Film, imprint: Imprint, shown: Sequence[Mapped], *, label: str, description: str) -> Dataset:
    """Start an enhanced object of one frame for each of ``shown``."""
    made = begin(imprint, film.header, [m.answer.model for m in shown])
    made.DeviceSerialNumber = imprint.facts.station_name
    name_content(made, imprint, label, description)
    made.PatientOrientation = film.header.get("PatientOrientation", "")
    made.ReferencedSeriesSequence = [in_series(film, "ReferencedInstanceSequence")]
    made.NumberOfFrames = len(shown)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.LossyImageCompression = film.header.get("LossyImageCompression", "00")
    return made


def index_by(made: Dataset, imprint: Imprint, keyword: str, group: str) -> None:
    """Say by which attribute, in which functional group, frames are ordered (PS3.3 C.7.6.17)."""
    organisation = Dataset()
    organisation.DimensionOrganizationUID = derive("dimension", imprint.sop_uid)
    made.DimensionOrganizationSequence = [organisation]
    index = Dataset()
    index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
    index.DimensionIndexPointer = Tag(tag_for_keyword(keyword) or 0)
    index.FunctionalGroupPointer = Tag(tag_for_keyword(group) or 0)
    index.DimensionDescriptionLabel = "Finding"
    made.DimensionIndexSequence = [index]


def frame_content(number: int, label: str = "") -> Dataset:
    """Item of Frame Content Sequence (C.7.6.16.2.2); frames count from 1."""
    item = Dataset()
    item.DimensionIndexValues = [number]
    if label:
        item.FrameLabel = label
    return item
