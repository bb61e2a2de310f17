"""The Storage Commitment SCP of the stand-in PACS: commits what it holds, on the association it likes, or never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from cxrd import commitment
from cxrd.commitment import Reference

SUCCESS = 0x0000
AFTER_RESPONSE_S = 0.05
"""A report that overtook the response to its request would confuse both sides."""

Judge = Callable[[str, int], int]
"""Asked with a SOP Instance UID and how often it was asked for; answers 0 or a Failure Reason."""


class Commitments:
    """Answers requests of commitment as told.

    Parameters
    ----------
    folder : Path
        Holds ``<SOP Instance UID>.dcm``.
    ae_title : str
        Who calls when a report goes out on an association of its own.

    Attributes
    ----------
    judge : callable
        Decides on each object; by default what is held is committed.
    status : int
        Answer to the request itself.
    reports_to : tuple of str and int, or None
        Where reports go; None tells them on the association of the request.
    silent : bool
        Never report.
    asked : list of tuple of str and Dataset
        AE title of the caller, and what it asked.
    answers : list of int
        Status of each report's response.
    """

    def __init__(self, folder: Path, ae_title: str) -> None:
        self._folder = folder
        self._ae_title = ae_title
        self._times: Counter[str] = Counter()
        self.judge: Judge = lambda uid, _n: 0 if self.holds(uid) else commitment.NO_SUCH_OBJECT
        self.status = SUCCESS
        self.reports_to: tuple[str, int] | None = None
        self.silent = False
        self.asked: list[tuple[str, Dataset]] = []
        self.answers: list[int] = []

    def holds(self, sop_uid: str) -> bool:
        """Whether an object is here."""
        return (self._folder / f"{sop_uid}.dcm").exists()

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """Take a request; its report goes out afterwards."""
        asked, caller = event.action_information, str(event.assoc.requestor.ae_title).strip()
        self.asked.append((caller, asked))
        if self.status == SUCCESS and not self.silent:
            Thread(target=self._report, args=(event.assoc, caller, self._judged(asked)), daemon=True).start()
        return self.status, None

    def _judged(self, asked: Dataset) -> Dataset:
        good, bad = [], {}
        for item in asked.ReferencedSOPSequence:
            reference = Reference(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            self._times[reference.sop_uid] += 1
            if reason := self.judge(reference.sop_uid, self._times[reference.sop_uid]):
                bad[reference] = reason
            else:
                good.append(reference)
        return commitment.report(str(asked.TransactionUID), good, bad)

    def _report(self, association: Any, caller: str, told: Dataset) -> None:
        if self.reports_to is not None:
            association = self._call(caller, self.reports_to)
        sleep(AFTER_RESPONSE_S)
        kind = commitment.SOME_FAILED if "FailedSOPSequence" in told else commitment.ALL_COMMITTED
        if association.is_established:
            status, _ = association.send_n_event_report(told, kind, commitment.PUSH_MODEL, commitment.INSTANCE)
            self.answers.append(int(status.get("Status", -1)))
            if self.reports_to is not None:
                association.release()

    def _call(self, caller: str, to: tuple[str, int]) -> Any:
        role = build_role(commitment.PUSH_MODEL, scp_role=True)
        context = build_context(commitment.PUSH_MODEL)
        return AE(self._ae_title).associate(*to, contexts=[context], ae_title=caller, ext_neg=[role])
