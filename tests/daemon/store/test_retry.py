"""Waiting between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cxrd.store.retry import backoff


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_a_wait_stays_between_a_tenth_of_the_base_and_the_cap(attempt: int, jitter: float) -> None:
    """However often a job failed, it comes back within the cap."""
    wait = backoff(attempt, base_s=2.0, cap_s=600.0, jitter=jitter)
    assert 0.2 <= wait <= 600.0


def test_waits_double_until_the_cap() -> None:
    """Without luck the waits are 2, 4, 8 … and then the cap."""
    assert [2.0, 4.0, 8.0, 10.0, 10.0] == [backoff(n, base_s=2.0, cap_s=10.0, jitter=1.0) for n in range(1, 6)]


def test_jitter_spreads_workers_that_failed_together() -> None:
    """Two workers with different luck do not come back at once."""
    assert backoff(5, base_s=2, cap_s=600, jitter=0.1) != backoff(5, base_s=2, cap_s=600, jitter=0.9)
