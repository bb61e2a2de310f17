"""The past in slices: every day in one of them, the newest first."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrd.backfill.slices import MINUTES, Slice, plan, within

DAYS = st.dates(min_value=date(1990, 1, 1), max_value=date(2030, 12, 31))


@settings(deadline=None)
@given(first=DAYS, length=st.integers(0, 2000), days=st.integers(1, 400))
def test_every_day_lies_in_one_slice(first: date, length: int, days: int) -> None:
    """None twice, none missing, none of another length but the oldest."""
    last = first + timedelta(days=length)
    parts = list(plan(first, last, days))
    assert length + 1 == sum(part.days for part in parts)
    assert last == parts[0].last
    assert first == parts[-1].first
    assert all(newer.first - timedelta(days=1) == older.last for newer, older in pairwise(parts))
    assert {days} >= {part.days for part in parts[:-1]}


@settings(deadline=None, max_examples=30)
@given(first=DAYS, length=st.integers(0, 400))
def test_halving_loses_nothing(first: date, length: int) -> None:
    """Down to single minutes, of which none has halves."""
    whole = Slice(first, first + timedelta(days=length))
    waiting, days, minutes = [whole], 0, 0
    while waiting:
        part = waiting.pop()
        if part.days == 1 and part.first != whole.last:  # one day is taken apart to its end, the others are counted
            days += 1
        elif (halves := part.halves()) is not None:
            waiting.extend(halves)
        else:
            minutes += part.end - part.start
    assert (length, MINUTES) == (days, minutes)


def test_a_slice_is_a_range_of_dates_or_of_times() -> None:
    """A whole day asks for no time, so that a study without one is found."""
    month = Slice(date(2020, 1, 1), date(2020, 1, 31))
    assert ("20200101-20200131", "") == (month.study_date, month.study_time)
    one = Slice(date(2020, 1, 1), date(2020, 1, 1))
    assert ("20200101", "") == (one.study_date, one.study_time)
    halves = one.halves()
    assert halves is not None
    later, earlier = halves
    assert ("20200101", "120000-235959.999999") == (later.study_date, later.study_time)
    assert ("20200101", "000000-115959.999999") == (earlier.study_date, earlier.study_time)
    assert later == Slice.of(later.plain())


@pytest.mark.parametrize(
    ("hours", "minute", "expected"),
    [
        ("", 0, True),
        ("19:00-06:00", 19 * 60, True),
        ("19:00-06:00", 6 * 60 - 1, True),
        ("19:00-06:00", 6 * 60, False),
        ("19:00-06:00", 12 * 60, False),
        ("01:30-04:00", 2 * 60, True),
        ("01:30-04:00", 60, False),
    ],
)
def test_hours_may_pass_midnight(hours: str, minute: int, expected: bool) -> None:  # noqa: FBT001
    """The end is not in them."""
    assert expected == within(hours, minute)
