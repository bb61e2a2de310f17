"""The C-FIND SCU: which results of ours a destination holds (PS3.4 C.6.2, Study Root, hierarchical).

Every kind of result of a study lies in a series whose UID is derived from the study's, so a query at IMAGE level
for that series finds our objects and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from cxrd.delivery.sender import opened
from cxrd.errors import DeliveryError
from cxrd.peers import Destination, Peer
from cxrd.report.uids import series_of

SUCCESS = 0x0000
PENDING = frozenset({0xFF00, 0xFF01})


class Questions:
    """C-FIND on an open association.

    Parameters
    ----------
    association : Association
        With a context for Study Root C-FIND.
    peer : Peer
        Who is asked.
    """

    def __init__(self, association: Association, peer: Peer) -> None:
        self._association = association
        self._peer = peer

    def ask(self, level: str, **keys: str) -> Iterator[Dataset]:
        """Identifiers that match; an answer that breaks off is an error, because "not there" would be a lie.

        Parameters
        ----------
        level : str
            STUDY, SERIES or IMAGE.
        **keys : str
            Keyword and value; "" asks for the value.

        Raises
        ------
        DeliveryError
            The last status is not success; it is in ``status``.
        """
        asked = identifier(level, **keys)
        for status, found in self._association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
            code = int(status.Status) if "Status" in status else None
            if code in PENDING and found is not None:
                yield found
            elif code != SUCCESS:
                told = "broke off" if code is None else f"answered 0x{code:04X} to"
                raise DeliveryError(
                    f"{self._peer.name} {told} a C-FIND",
                    retryable=True,
                    status=code,
                    hint="ask for fewer studies (--since), or look into its log",
                )


def identifier(level: str, **keys: str) -> Dataset:
    """Make what a C-FIND or C-MOVE asks for, at one level of the hierarchy."""
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


class Finder(Questions):
    """Questions to a destination."""

    @classmethod
    @contextmanager
    def on(cls, destination: Destination, calling_ae: str) -> Iterator[Self]:
        """Open an association for them.

        Raises
        ------
        DeliveryError
            It cannot be reached or does not answer C-FIND.
        """
        with opened(
            destination, calling_ae, [build_context(StudyRootQueryRetrieveInformationModelFind)]
        ) as association:
            yield cls(association, destination)

    def studies(self, since: str) -> set[str]:
        """Study Instance UIDs from a StudyDate (DA) on; "" asks for every study."""
        told = self.ask("STUDY", StudyDate=f"{since}-" if since else "", StudyInstanceUID="")
        return {str(found.StudyInstanceUID) for found in told if "StudyInstanceUID" in found}

    def results(self, study_uid: str, kinds: tuple[str, ...]) -> set[str]:
        """SOP Instance UIDs of our results of some kinds ("sr", "sc", …) in a study."""
        held: set[str] = set()
        for kind in kinds:
            series = series_of(study_uid, kind)
            told = self.ask("IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series, SOPInstanceUID="")
            held.update(str(found.SOPInstanceUID) for found in told if "SOPInstanceUID" in found)
        return held
