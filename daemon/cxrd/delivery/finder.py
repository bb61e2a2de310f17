"""The C-FIND SCU: which results of ours a destination holds (PS3.4 C.6.2, Study Root, hierarchical).

Every kind of result of a study lies in a series whose UID is derived from the study's, so a query at IMAGE level
for that series finds our objects and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from cxrd.delivery.sender import established
from cxrd.errors import DeliveryError
from cxrd.peers import Destination
from cxrd.report.uids import series_of

SUCCESS = 0x0000
PENDING = frozenset({0xFF00, 0xFF01})


class Finder:
    """One association for questions.

    Parameters
    ----------
    destination : Destination
        Whom to ask.
    calling_ae : str
        Our AE title.

    Raises
    ------
    DeliveryError
        On entering: it cannot be reached or does not answer C-FIND.
    """

    def __init__(self, destination: Destination, calling_ae: str) -> None:
        self._destination = destination
        self._calling_ae = calling_ae
        self._association: Any = None

    def __enter__(self) -> Self:
        to, wanted = self._destination, build_context(StudyRootQueryRetrieveInformationModelFind)
        try:
            self._association = established(to, self._calling_ae, [wanted])
        except DeliveryError as error:
            raise DeliveryError(
                f"{to.name} does not answer C-FIND: {error.message}",
                retryable=True,
                hint="is it running, and may our AE title query it (Study Root)?",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._association.is_established:
            self._association.release()

    def studies(self, since: str) -> set[str]:
        """Study Instance UIDs from a StudyDate (DA) on; "" asks for every study."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyDate = f"{since}-" if since else ""
        asked.StudyInstanceUID = ""
        return {str(found.StudyInstanceUID) for found in self._ask(asked) if "StudyInstanceUID" in found}

    def results(self, study_uid: str, kinds: tuple[str, ...]) -> set[str]:
        """SOP Instance UIDs of our results of some kinds ("sr", "sc", …) in a study."""
        held: set[str] = set()
        for kind in kinds:
            asked = Dataset()
            asked.QueryRetrieveLevel = "IMAGE"
            asked.StudyInstanceUID = study_uid
            asked.SeriesInstanceUID = series_of(study_uid, kind)
            asked.SOPInstanceUID = ""
            held.update(str(found.SOPInstanceUID) for found in self._ask(asked) if "SOPInstanceUID" in found)
        return held

    def _ask(self, asked: Dataset) -> Iterator[Dataset]:
        return matches(self._association, self._destination.name, asked)


def matches(association: Any, name: str, asked: Dataset) -> Iterator[Dataset]:
    """Identifiers that match; an answer that breaks off is an error, because "not there" would be a lie.

    Parameters
    ----------
    association : Association
        With a context for Study Root C-FIND.
    name : str
        The peer's, for its error.
    asked : Dataset
        The identifier.

    Raises
    ------
    DeliveryError
        The last status is not success; it is in ``status``.
    """
    for status, identifier in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
        code = int(status.Status) if "Status" in status else None
        if code in PENDING and identifier is not None:
            yield identifier
        elif code != SUCCESS:
            told = "broke off" if code is None else f"answered 0x{code:04X} to"
            raise DeliveryError(
                f"{name} {told} a C-FIND",
                retryable=True,
                status=code,
                hint="ask for fewer studies (--since), or look into its log",
            )
