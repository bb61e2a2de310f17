"""The query and retrieve SCP of the stand-in PACS: tells and sends what lies in its folder, or less, when told so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import evt

PENDING, OUT_OF_RESOURCES = 0xFF00, 0xA700
UNIQUE_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


class Query:
    """Answers C-FIND and C-MOVE (PS3.4 annex C, Study Root).

    Parameters
    ----------
    folder : Path
        Holds ``<SOP Instance UID>.dcm``.

    Attributes
    ----------
    limit : int
        Matches after which an answer ends.
    limit_status : int
        With which status; 0 tells nobody that there are more.
    refuse : callable
        Asked with each identifier of a C-FIND; a status other than 0 is the answer.
    knows : dict of str to tuple of str and int
        Where AE titles are that films may be sent to.
    withholds : callable
        Whether a film, by its SOP Instance UID and how often it was asked for, stays here although it is told of.
    asked : list of Dataset
        Identifiers of C-FIND.
    moved : Counter of str
        How often each film was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.limit = 10**9
        self.limit_status = OUT_OF_RESOURCES
        self.refuse: Callable[[Dataset], int] = lambda _asked: 0
        self.knows: dict[str, tuple[str, int]] = {}
        self.withholds: Callable[[str, int], bool] = lambda _uid, _n: False
        self.asked: list[Dataset] = []
        self.moved: Counter[str] = Counter()

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer by the unique keys of the level and those above it (PS3.4 C.6.2.1); dates and times may be ranges."""
        asked: Any = event.identifier
        self.asked.append(asked)
        if status := self.refuse(asked):
            yield status, None
            return
        level = str(asked.QueryRetrieveLevel)
        told: set[str] = set()
        for held in self._matching(asked):
            key = str(held[UNIQUE_KEYS[level]].value)
            if key in told:
                continue
            if len(told) >= self.limit:
                if self.limit_status:
                    yield self.limit_status, None
                return
            told.add(key)
            yield PENDING, _answer(asked, held)

    def on_move(self, event: evt.Event) -> Iterator[Any]:
        """Send what matches to a destination that is known."""
        to = self.knows.get(str(event.move_destination).strip())
        if to is None:
            yield None, None
            return
        yield to
        asked: Any = event.identifier
        found = []
        for held in self._matching(asked, with_pixels=True):
            uid = str(held.SOPInstanceUID)
            self.moved[uid] += 1
            if not self.withholds(uid, self.moved[uid]):
                found.append(held)
        yield len(found)
        for held in found:
            yield PENDING, held

    def _matching(self, asked: Dataset, *, with_pixels: bool = False) -> Iterator[Dataset]:
        for path in sorted(self._folder.glob("*.dcm")):
            held = dcmread(path, stop_before_pixels=not with_pixels)
            uids = all(_same(asked, held, keyword) for keyword in UNIQUE_KEYS.values())
            modality = str(asked.get("ModalitiesInStudy", "") or "") in ("", str(held.get("Modality", "")))
            if uids and modality and _within(asked, held, "StudyDate") and _within(asked, held, "StudyTime"):
                yield held


def _answer(asked: Dataset, held: Dataset) -> Dataset:
    answer = Dataset()
    for element in asked:
        setattr(answer, element.keyword, held.get(element.keyword, None))
    answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
    if "ModalitiesInStudy" in asked:
        answer.ModalitiesInStudy = held.Modality
    return answer


def _same(asked: Dataset, held: Dataset, keyword: str) -> bool:
    wanted = str(asked.get(keyword, "") or "")
    return wanted in ("", str(held[keyword].value))


def _within(asked: Dataset, held: Dataset, keyword: str) -> bool:
    wanted, value = str(asked.get(keyword, "") or ""), str(held.get(keyword, "") or "")
    first, dash, last = wanted.partition("-")
    return not wanted or (bool(value) and first <= value <= (last or "9" if dash else first))
