"""One table of names."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from cxrd.watch import metrics as m

UNITS = (
    "_total", "_seconds", "_bytes", "_size", "_score", "_up", "_info", "_studies", "_jobs", "_psi", "_films", "_ratio",
    "_paused", "_successful",
)  # fmt: skip


def test_names_follow_the_conventions() -> None:
    """A prefix, a base unit or a count, counters end in _total, and each name stands once."""
    names = [metric.name for metric in m.TABLE]
    assert sorted(set(names)) == sorted(names)
    for metric in m.TABLE:
        assert metric.name.startswith("cxrd_")
        assert metric.name.endswith(UNITS)
        assert (metric.kind is m.Kind.COUNTER) == metric.name.endswith("_total")


def test_the_three_verbs_reach_the_registry() -> None:
    """What is counted, set and observed is what a scrape shows."""
    metrics = m.Metrics()
    metrics.count(m.REFUSED, reason="lateral")
    metrics.set(m.DESTINATION_UP, 1, destination="pacs")
    metrics.observe(m.STAGE, 0.2, stage="decode")
    text = generate_latest(metrics.registry).decode()
    assert 'cxrd_images_refused_total{reason="lateral"} 1.0' in text
    assert 'cxrd_destination_up{destination="pacs"} 1.0' in text
    assert 'cxrd_stage_duration_seconds_bucket{le="0.25",stage="decode"} 1.0' in text


def test_a_label_the_table_does_not_name_is_an_error() -> None:
    """A typing error in a label never makes a new series."""
    with pytest.raises(ValueError, match="label"):
        m.Metrics().count(m.REFUSED, reasons="lateral")
