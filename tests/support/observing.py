"""An observer that keeps what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Noted:
    """Associations and instances as the listener reported them."""

    associations: list[tuple[str, str]] = field(default_factory=list)
    instances: list[tuple[str, str, int]] = field(default_factory=list)
    handshakes: list[str] = field(default_factory=list)

    def sources(self, names: Sequence[str]) -> None:
        """These may send from now on."""

    def association(self, source: str, outcome: str) -> None:
        """Keep one association."""
        self.associations.append((source, outcome))

    def instance(self, source: str, outcome: str, size: int) -> None:
        """Keep one C-STORE."""
        self.instances.append((source, outcome, size))

    def handshake(self, fault: str) -> None:
        """Keep one failed handshake."""
        self.handshakes.append(str(fault))
