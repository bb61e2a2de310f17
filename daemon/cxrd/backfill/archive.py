"""The query and retrieve SCU: what an archive holds, and the order to send it to us (PS3.4 annex C, Study Root)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from cxrd.backfill.slices import Slice
from cxrd.delivery.finder import PENDING, Questions, identifier
from cxrd.delivery.sender import comment_of, opened
from cxrd.errors import DeliveryError
from cxrd.imaging.wording import names_other_part, plain
from cxrd.peers import Archive

CUT_OFF = frozenset({0xA700, 0xFE00})
"""C-FIND statuses of an archive that found more than it tells."""
DESTINATION_UNKNOWN = 0xA801


@dataclass(frozen=True, slots=True)
class Found:
    """What one slice holds.

    Attributes
    ----------
    studies : dict of str to str
        Study Instance UID to Study Date.
    cut_off : bool
        There is more than was told.
    """

    studies: dict[str, str]
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """How a C-MOVE ended: status, and sub-operations that failed."""

    status: int
    failed: int
    comment: str

    def __str__(self) -> str:
        said = f"status 0x{self.status:04X} to C-MOVE"
        return said + (f", {self.failed} failed" if self.failed else "") + (f": {self.comment}" if self.comment else "")


class Link(Questions):
    """Questions and orders to an archive.

    Parameters
    ----------
    association : Association
        With contexts for Study Root C-FIND and C-MOVE.
    archive : Archive
        Whom to ask.
    calling_ae : str
        Our AE title.
    """

    def __init__(self, association: Association, archive: Archive, calling_ae: str) -> None:
        super().__init__(association, archive)
        self._archive = archive
        self._calling_ae = calling_ae

    @classmethod
    @contextmanager
    def on(cls, archive: Archive, calling_ae: str) -> Iterator[Self]:
        """Open an association.

        Raises
        ------
        DeliveryError
            It cannot be reached, or does not offer C-FIND and C-MOVE.
        """
        wanted = (StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelMove)
        with opened(archive, calling_ae, [build_context(name) for name in wanted]) as association:
            yield cls(association, archive, calling_ae)

    def studies(self, part: Slice) -> Found:
        """Studies of a slice that have images of the archive's modalities.

        An archive may tell less than it holds and call it complete: some stop at a limit in silence, and Orthanc 1.10
        counts a study once for each of its series against its limit. So the halves of a slice are asked too, as far
        down as both hold studies; halves that tell of more than the whole show that it was cut off.
        """
        found = self._asked(part)
        inside = part
        while not found.cut_off and found.studies and (halves := inside.halves()) is not None:
            newer, older = (self._asked(half) for half in halves)
            if (
                newer.cut_off
                or older.cut_off
                or not found.studies.keys() >= newer.studies.keys() | older.studies.keys()
            ):
                return Found(found.studies, cut_off=True)
            if len(found.studies) == 1 or bool(newer.studies) == bool(older.studies):
                break
            inside = halves[0] if newer.studies else halves[1]
        return found

    def _asked(self, part: Slice) -> Found:
        found: dict[str, str] = {}
        cut_off = False
        for modality in self._archive.modalities:
            asked = {"StudyDate": part.study_date, "StudyTime": part.study_time, "ModalitiesInStudy": modality}
            told, cut = self._told("STUDY", **asked, StudyInstanceUID="")
            cut_off |= cut
            found |= {str(t.StudyInstanceUID): str(t.get("StudyDate", "")) for t in told if self._may_hold(t)}
        return Found(found, cut_off)

    def images(self, study_uid: str) -> dict[str, set[str]]:
        """SOP Instance UIDs of a study's series that may show a chest, by series."""
        told = self.ask("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality="", BodyPartExamined="")
        wanted = [
            str(t.SeriesInstanceUID)
            for t in told
            if str(t.get("Modality", "")) in self._archive.modalities
            and not names_other_part(plain(str(t.get("BodyPartExamined", "") or "")))
        ]
        return {series: self._images_of(study_uid, series) for series in wanted}

    def move(self, study_uid: str, series_uid: str) -> Moved:
        """Have a series sent to our listener; the answer comes when the archive has done what it could.

        Raises
        ------
        DeliveryError
            It did not answer, or does not know where we are.
        """
        to = self._archive.move_to or self._calling_ae
        asked = identifier("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        last = Dataset()
        for last, _ in self._association.send_c_move(asked, to, StudyRootQueryRetrieveInformationModelMove):
            if int(last.get("Status", -1)) not in PENDING:
                break
        if "Status" not in last:
            raise DeliveryError(f"{self._archive.name} broke off a C-MOVE", retryable=True)
        status = int(last.Status)
        if status == DESTINATION_UNKNOWN:
            raise DeliveryError(
                f"{self._archive.name} does not know the move destination {to}",
                retryable=True,
                status=status,
                hint="let its administrator add our AE title with host and port, or set move_to",
            )
        failed = int(last.get("NumberOfFailedSuboperations", 0) or 0)
        return Moved(status, failed, comment_of(last))

    def _images_of(self, study_uid: str, series_uid: str) -> set[str]:
        told = self.ask("IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID="")
        return {str(t.SOPInstanceUID) for t in told}

    def _may_hold(self, told: Dataset) -> bool:
        """Whether a study has one of our modalities; an archive that ignores the key tells every study."""
        there = told.get("ModalitiesInStudy", None) or ()
        named = {there} if isinstance(there, str) else set(there)
        return not named or bool(named & set(self._archive.modalities))

    def _told(self, level: str, **keys: str) -> tuple[Sequence[Dataset], bool]:
        """Answers, and whether there are more."""
        told: list[Dataset] = []
        try:
            for answer in self.ask(level, **keys):
                told.append(answer)  # noqa: PERF402 - what was told before it broke off counts
        except DeliveryError as error:
            if error.status not in CUT_OFF:
                raise
            return told, True
        return told, len(told) >= self._archive.max_matches


def fault_of(archive: Archive, calling_ae: str) -> str:
    """Why an archive cannot be asked, "" when it can."""
    try:
        with Link.on(archive, calling_ae):
            return ""
    except DeliveryError as error:
        return str(error)
