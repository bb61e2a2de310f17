"""What the listener tells the metrics."""

from __future__ import annotations

from collections.abc import Sequence

from cxrd.watch import metrics as m

ASSOCIATION_OUTCOMES = ("accepted", "rejected_called_ae", "rejected_certificate", "rejected_limit")
INSTANCE_OUTCOMES = ("stored", "duplicate", "conflict", "quarantined", "out_of_resources", "error")
STRANGER = "unknown"  # who calls without being configured; nobody's own words become a label


class ListenerMetrics:
    """Counts associations and instances as the listener reports them.

    Parameters
    ----------
    metrics : Metrics
        Where the counts go.
    names : sequence of str
        Sources that may send.
    faults : sequence of str
        Reasons for which a TLS handshake may fail.
    """

    def __init__(self, metrics: m.Metrics, names: Sequence[str] = (), faults: Sequence[str] = ()) -> None:
        self._metrics = metrics
        metrics.expect(m.ASSOCIATIONS, source=[STRANGER], outcome=["rejected_calling_ae"])
        metrics.expect(m.RECEIVED_BYTES)
        metrics.expect(m.HANDSHAKES_FAILED, reason=faults)
        self.sources(names)

    def sources(self, names: Sequence[str]) -> None:
        """Show each source from now on, before it has sent anything."""
        self._metrics.expect(m.ASSOCIATIONS, source=names, outcome=ASSOCIATION_OUTCOMES)
        self._metrics.expect(m.INSTANCES, source=names, outcome=INSTANCE_OUTCOMES)

    def association(self, source: str, outcome: str) -> None:
        """Count one association: ``accepted`` or why it was rejected."""
        self._metrics.count(m.ASSOCIATIONS, source=source, outcome=outcome)

    def instance(self, source: str, outcome: str, size: int) -> None:
        """Count one C-STORE and, when its bytes were made durable, those (bytes)."""
        self._metrics.count(m.INSTANCES, source=source, outcome=outcome)
        self._metrics.count(m.RECEIVED_BYTES, size)

    def handshake(self, fault: str) -> None:
        """Count one TLS handshake that failed."""
        self._metrics.count(m.HANDSHAKES_FAILED, reason=fault)
