"""Ready or not, and why."""

from __future__ import annotations

from cxrd.watch import health


def test_a_role_that_was_never_seen_or_fell_silent_is_red() -> None:
    """Only roles with a young heartbeat are green."""
    found = health.beats(["listen", "infer", "build"], {"listen": 1.0, "infer": 99.0}, limit_s=10)
    assert [True, False, False] == [check.ok for check in found]
    assert not health.ready(found)


def test_the_disk_is_red_at_the_watermark() -> None:
    """At the watermark the listener already answers 0xA700, so the node is not ready."""
    assert [False, True] == [health.disk(free, 10).ok for free in (10, 11)]
