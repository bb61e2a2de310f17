"""Which version of a model answers, which one only looks on, and which may never come back.

The stage of a version is a row of the database, so that every host agrees; the files lie in each host's
``models.dir``. Precedence is simple: an ``id@version`` in ``models.enabled`` answers whatever the database says;
otherwise the version that the database calls active; and where the database knows nothing of a model, its
highest version, which then becomes the active one.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Stage(StrEnum):
    """What a version of a model does."""

    ADDED = "added"  # known and verified; waits
    SHADOW = "shadow"  # judges the same films beside the active one; only the database and metrics hear of it
    ACTIVE = "active"  # answers
    RETIRED = "retired"  # never loaded again


class Entry(NamedTuple):
    """What the database knows of one version.

    Attributes
    ----------
    digest : str
        sha256 (hex) of the manifest: a package with the same number and another digest is another package.
    follows : str
        The version that this one replaced when it was promoted, to which a rollback returns; "" for none.
    since : float
        When it came to its stage, epoch seconds.
    """

    model: str
    version: str
    digest: str
    stage: Stage
    follows: str = ""
    since: float = 0.0


class Chosen(NamedTuple):
    """A package to be loaded.

    Attributes
    ----------
    digest : str
        What its digest must be; "" takes the package as it is.
    pinned : bool
        The configuration names this version.
    """

    model: str
    version: str
    folder: Path
    stage: Stage
    digest: str = ""
    pinned: bool = False

    @property
    def name(self) -> str:
        """Id and version, as an operator writes them."""
        return f"{self.model}@{self.version}"
