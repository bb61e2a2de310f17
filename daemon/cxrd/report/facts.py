"""What every object says of the node that made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cxrd.settings import Report

PRODUCT = "cxrd"
RESEARCH_USE = "Research use only. Not for diagnostic use without review."


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Equipment and policy, from the configuration and the running version.

    Attributes
    ----------
    default_character_set : str
        For headers with 8-bit text that name none (PS3.3 C.12.1.1.2 defined term).
    """

    research_use: bool
    manufacturer: str
    institution: str
    station_name: str
    software_version: str
    default_character_set: str

    @classmethod
    def of(cls, settings: Report, *, software_version: str) -> Self:
        """Take what the report section of the configuration says."""
        return cls(
            research_use=settings.research_use,
            manufacturer=settings.manufacturer,
            institution=settings.institution,
            station_name=settings.station_name,
            software_version=software_version,
            default_character_set=settings.default_character_set,
        )
