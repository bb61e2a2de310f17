"""A decoded film as models learn and judge it: greys the right way round, the patient's right on the left.

Training and serving both come through here, so that a film is judged as films were learnt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd.errors import Reason, Refused
from cxrd.imaging.decode import Radiograph
from cxrd.imaging.polarity import is_inverted
from cxrd.rules import SHIPPED, Admission


class Upright(NamedTuple):
    """A film put right.

    Attributes
    ----------
    shown : float32 (rows, columns)
        0 black to 1 white, in the *source's* orientation: what a reader is shown.
    pixels : float32 (rows, columns)
        The same in the orientation that models expect (never mirrored).
    inverted : bool
        Whether the greys were turned over.
    notes : tuple of str
        What a reader should know.
    """

    shown: NDArray[np.float32]
    pixels: NDArray[np.float32]
    inverted: bool
    notes: tuple[str, ...]


def upright(radiograph: Radiograph, rules: Admission = SHIPPED) -> Upright:
    r"""Turn over greys that contradict the header, where the rules say so, and films whose rows run to R (``R\F``).

    Raises
    ------
    Refused
        INVERTED, where the rules refuse such films.
    """
    shown, inverted, notes = _upright_greys(radiograph.pixels, rules)
    return Upright(shown, shown[:, ::-1] if radiograph.mirrored else shown, inverted, notes)


def _upright_greys(pixels: NDArray[np.float32], rules: Admission) -> tuple[NDArray[np.float32], bool, tuple[str, ...]]:
    if not is_inverted(pixels):
        return pixels, False, ()
    match rules.inversion:
        case "refuse":
            raise Refused(Reason.INVERTED, "the greys are inverted against Photometric Interpretation; correct it")
        case "note":
            return pixels, False, ("the greys look inverted against the header",)
        case _:
            return 1 - pixels, True, ("the greys were inverted against the header, and are shown the other way round",)
