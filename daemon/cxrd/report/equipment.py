"""Who made an object: the node and each model, as IHE AI Results asks (Contributing Equipment, PS3.3 C.12.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from cxrd.findings import FilmAnalysis, ModelRef
from cxrd.report import codes
from cxrd.report.facts import PRODUCT, ReportFacts
from cxrd.report.uids import derive
from cxrd.vocabulary import PRIVATE_SCHEME


def node_uid(facts: ReportFacts, model_digest: str) -> str:
    """Device UID of the node; another one when the software or any model changes (IHE AIR)."""
    return derive("device", facts.manufacturer, facts.station_name, facts.software_version, model_digest)


def model_uid(model: ModelRef) -> str:
    """Device UID of a model: another one after each training."""
    return derive("model", model.id, model.version, model.digest)


def models_of(films: Sequence[FilmAnalysis]) -> list[ModelRef]:
    """Each model that answered on any film, once."""
    return list(dict.fromkeys(a.model for film in films for a in film.answers))


def contributing(facts: ReportFacts, device_uid: str, models: Sequence[ModelRef]) -> list[Dataset]:
    """Items of Contributing Equipment Sequence: the node, then each model."""
    ours = _item(facts, PRODUCT, facts.software_version, device_uid)
    theirs = [_item(facts, m.id, m.version, model_uid(m)) for m in dict.fromkeys(models)]
    for item, model in zip(theirs, dict.fromkeys(models), strict=True):
        item.ContributionDescription = f"model package sha256 {model.digest}"
    return [ours, *theirs]


def _item(facts: ReportFacts, model_name: str, version: str, uid: str) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = facts.manufacturer
    item.ManufacturerModelName = model_name
    item.SoftwareVersions = version
    item.DeviceUID = uid
    if facts.institution:
        item.InstitutionName = facts.institution
    return item


def coded(concept: Concept) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = concept.value
    item.CodingSchemeDesignator = concept.scheme_designator
    item.CodeMeaning = concept.meaning
    return item


def private_scheme() -> Dataset:
    """Item of Coding Scheme Identification Sequence for our own scheme."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "cxrd private codes"
    item.CodingSchemeResponsibleOrganization = "cxrd"
    return item


def stamp(dataset: Dataset, facts: ReportFacts, now: datetime) -> None:
    """Dates and equipment that every object carries alike; hanging protocols sort on the series' time."""
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = date
    dataset.SeriesTime = dataset.ContentTime = dataset.InstanceCreationTime = time
    dataset.TimezoneOffsetFromUTC = now.strftime("%z") or "+0000"
    dataset.Manufacturer = facts.manufacturer
    dataset.ManufacturerModelName = PRODUCT
    dataset.SoftwareVersions = facts.software_version
    dataset.StationName = facts.station_name
    if facts.institution:
        dataset.InstitutionName = facts.institution
