"""What tracing a model gives, before it is judged."""

from __future__ import annotations

from typing import NamedTuple

from cxrd.inference.manifest import HeatSpec
from cxrd_models.export.parity import Parity
from cxrd_models.export.precision import Precision


class Traced(NamedTuple):
    """The graphs by file name, how far each is from torch, and the maps they draw."""

    files: dict[str, bytes]
    parity: dict[str, Parity]
    heat: HeatSpec
    precision: Precision
