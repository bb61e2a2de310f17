"""The C-FIND SCU: which results of ours a destination holds (PS3.4 C.6.2, Study Root, hierarchical).

Every kind of result of a study lies in a series whose UID is derived from the study's, so a query at IMAGE level
for that series finds our objects and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from cxrd import tls
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
    ConfigError
        On entering: its TLS files cannot be used.
    """

    def __init__(self, destination: Destination, calling_ae: str) -> None:
        self._destination = destination
        self._entity = AE(calling_ae)
        self._entity.acse_timeout = self._entity.dimse_timeout = destination.timeout_s
        self._entity.connection_timeout = destination.timeout_s
        self._entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        self._association: Any = None

    def __enter__(self) -> Self:
        to = self._destination
        secured: Any = (tls.handshake(to.tls), to.host) if to.tls else None
        self._association = self._entity.associate(to.host, to.port, ae_title=to.ae_title, tls_args=secured)
        if not self._association.is_established:
            raise DeliveryError(
                f"{to.name} does not answer C-FIND",
                retryable=True,
                hint="is it running, and may our AE title query it (Study Root)?",
            )
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
        """Identifiers that match; an answer that breaks off is an error, because "not there" would be a lie."""
        for status, identifier in self._association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
            code = int(status.Status) if "Status" in status else None
            if code in PENDING and identifier is not None:
                yield identifier
            elif code != SUCCESS:
                told = "broke off" if code is None else f"answered 0x{code:04X} to"
                raise DeliveryError(
                    f"{self._destination.name} {told} a C-FIND",
                    retryable=True,
                    status=code,
                    hint="ask for fewer studies (--since), or look into its log",
                )
