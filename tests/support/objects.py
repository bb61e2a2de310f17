"""Objects of an analysis, built as the daemon builds them and read as a receiver reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from cxrd import report
from cxrd.findings import Artefact, ArtefactKind, StudyAnalysis
from cxrd.imaging.header import read_header
from support.analyses import FACTS, previews
from support.datasets import encoded, film

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
ALL = frozenset(ArtefactKind)


def build(found: StudyAnalysis, *headers: Dataset, **changes: Any) -> dict[ArtefactKind, Artefact]:
    """Every object of an analysis, the last of each kind."""
    wanted: dict[str, Any] = {"sends": [ALL], "facts": FACTS, "now": NOW, **changes}
    sources: Mapping[str, Dataset] = {h.SOPInstanceUID: h for h in headers}
    pictures: Mapping[str, NDArray[np.uint8]] = previews(*headers)
    return {a.kind: a for a in report.build(found, sources, pictures, **wanted)}


def header(**changes: Any) -> Dataset:
    """A header as the daemon reads it from bytes."""
    return read_header(encoded(film(**changes)))


def parsed(artefact: Artefact) -> Dataset:
    """An object as a receiver sees it."""
    return dcmread(BytesIO(artefact.data))
