"""What is known of an exported graph before it becomes a package."""

from __future__ import annotations

from typing import NamedTuple

from cxrd_models.evaluate.figures import Figures, Scored
from cxrd_models.export.reporting import Standing


class Judged(NamedTuple):
    """Answers and figures.

    Attributes
    ----------
    found : Figures
        On the test split as it is.
    leveled : Figures or None
        The same films, every one first reduced to the detail of the coarsest source; None where the
        recipe names no such side.
    """

    scored: Scored
    found: Figures
    leveled: Figures | None
    standing: tuple[Standing, ...]
