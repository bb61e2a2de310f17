"""When to try again: pure, so that a test needs no clock."""

from __future__ import annotations


def backoff(attempt: int, *, base_s: float, cap_s: float, jitter: float) -> float:
    """Seconds to wait before attempt ``attempt + 1``.

    Exponential with full jitter: a uniform part of ``min(cap, base * 2**(attempt - 1))``, never less than a
    tenth of it, so that many workers that failed together do not come back together.

    Parameters
    ----------
    attempt : int
        Attempts made so far, >= 1.
    base_s, cap_s : float
        First and longest wait, seconds.
    jitter : float
        Uniform random number in 0..1.
    """
    ceiling = min(cap_s, base_s * 2.0 ** min(attempt - 1, 60))
    return ceiling * (0.1 + 0.9 * jitter)
