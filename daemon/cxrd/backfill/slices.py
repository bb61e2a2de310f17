"""Slices of an archive's past: ranges of study dates that are asked for one by one. Pure.

An archive that finds too many studies for one answer is asked for halves: of the days, and within a day of the minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Slice:
    """Days from ``first`` to ``last``, both included; of a single day, minutes from ``start`` up to ``end``."""

    first: date
    last: date
    start: int = 0
    end: int = MINUTES

    @property
    def study_date(self) -> str:
        """Value of Study Date (DA) for range matching (PS3.4 C.2.2.2.5)."""
        return day(self.first) if self.first == self.last else f"{day(self.first)}-{day(self.last)}"

    @property
    def study_time(self) -> str:
        """Value of Study Time (TM) for range matching; "" for whole days, so that a study without a time is found."""
        if (self.start, self.end) == (0, MINUTES):
            return ""
        return f"{_clock(self.start)}00-{_clock(self.end - 1)}59.999999"

    @property
    def days(self) -> int:
        """Whole days in it; none in a part of a day."""
        return 0 if self.study_time else (self.last - self.first).days + 1

    def __str__(self) -> str:
        return self.study_date + (f" {_clock(self.start)}-{_clock(self.end - 1)}" if self.study_time else "")

    def halves(self) -> tuple[Slice, Slice] | None:
        """The newer and the older half; None of a single minute."""
        if self.first < self.last:
            middle = self.first + timedelta(days=((self.last - self.first).days + 1) // 2)
            return Slice(middle, self.last), Slice(self.first, middle - timedelta(days=1))
        if self.end - self.start < 2:
            return None
        noon = (self.start + self.end) // 2
        return Slice(self.first, self.last, noon, self.end), Slice(self.first, self.last, self.start, noon)

    def plain(self) -> dict[str, Any]:
        """As JSON, for a job."""
        return {"first": day(self.first), "last": day(self.last), "start": self.start, "end": self.end}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Slice:
        """Read what :meth:`plain` wrote."""
        return cls(parse_day(plain["first"]), parse_day(plain["last"]), int(plain["start"]), int(plain["end"]))


def plan(first: date, last: date, days: int) -> Iterator[Slice]:
    """Slices of so many days, the newest first: recent films are of most use."""
    while last >= first:
        start = max(first, last - timedelta(days=days - 1))
        yield Slice(start, last)
        last = start - timedelta(days=1)


def day(of: date) -> str:
    """A date as DA (PS3.5 6.2)."""
    return of.strftime("%Y%m%d")


def parse_day(text: str) -> date:
    """Read a DA.

    Raises
    ------
    ValueError
        It is none.
    """
    return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a study date has no zone


def within(hours: str, minute: int) -> bool:
    """Whether a minute of the day (0 to 1439) lies in "HH:MM-HH:MM", which may pass midnight; "" is always."""
    if not hours:
        return True
    start, end = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
    return start <= minute < end if start < end else minute >= start or minute < end


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}{minute % 60:02d}"
