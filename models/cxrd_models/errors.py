"""What can go wrong while a model is made; all are for the person at the keyboard (exit code 2)."""

from __future__ import annotations

from cxrd.errors import CxrdError


class RecipeError(CxrdError):
    """A recipe cannot be found or does not hold what a recipe holds."""


class DataError(CxrdError):
    """A data folder cannot be used; the message names the file and its row in ``labels.csv``."""


class WeightsError(CxrdError):
    """Weights or a checkpoint belong to another architecture, or lack keys."""


class DivergedError(CxrdError):
    """The loss is no longer a number; the last checkpoint holds the weights from before."""


class StoppedError(CxrdError):
    """Training was asked to stop; the checkpoint holds every step that was finished."""


class ParityError(CxrdError):
    """The exported graph does not answer as the trained model does; nothing was published."""
