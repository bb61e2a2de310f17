"""What the listener tells the metrics."""

from __future__ import annotations

from cxrd.watch import metrics as m


class ListenerMetrics:
    """Counts associations and instances as the listener reports them."""

    def __init__(self, metrics: m.Metrics) -> None:
        self._metrics = metrics

    def association(self, source: str, outcome: str) -> None:
        """Count one association: ``accepted`` or why it was rejected."""
        self._metrics.count(m.ASSOCIATIONS, source=source, outcome=outcome)

    def instance(self, source: str, outcome: str, size: int) -> None:
        """Count one C-STORE and, when its bytes were made durable, those (bytes)."""
        self._metrics.count(m.INSTANCES, source=source, outcome=outcome)
        self._metrics.count(m.RECEIVED_BYTES, size)
