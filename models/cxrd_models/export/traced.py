"""What tracing a model gives, before it is judged."""

from __future__ import annotations

from typing import NamedTuple

from cxrd.inference.manifest import HeatSpec
from cxrd_models.export.parity import Parity
from cxrd_models.export.precision import Precision
from cxrd_models.zoo.contract import Ensemble


class Traced(NamedTuple):
    """What is shipped.

    Attributes
    ----------
    files : dict
        Graphs by file name.
    parity : dict
        How far each traced graph is from torch.
    heat : HeatSpec
        The maps they draw.
    ensemble : Ensemble or None
        Of two graphs that the daemon joins.
    """

    files: dict[str, bytes]
    parity: dict[str, Parity]
    heat: HeatSpec
    precision: Precision
    ensemble: Ensemble | None
