"""Storage Commitment Push Model (PS3.4 annex J): what is asked of a peer, and what its answer says.

A peer that has stored an object may still lose it; one that has committed it has taken the duty to keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset

PUSH_MODEL = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_COMMITMENT = 1
"""Action type of the N-ACTION."""
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event types of the N-EVENT-REPORT."""

PROCESSING_FAILURE, NO_SUCH_OBJECT, CLASS_NOT_SUPPORTED, CLASS_CONFLICT = 0x0110, 0x0112, 0x0122, 0x0119
DUPLICATE_TRANSACTION, OUT_OF_RESOURCES = 0x0131, 0x0213
FAILURES: Mapping[int, str] = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_OBJECT: "no such object",
    CLASS_NOT_SUPPORTED: "SOP class not supported",
    CLASS_CONFLICT: "SOP class and instance do not fit",
    DUPLICATE_TRANSACTION: "transaction UID in use",
    OUT_OF_RESOURCES: "out of resources",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


class Reference(NamedTuple):
    """An object by its class and its own UID."""

    sop_class: str
    sop_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a peer says of one transaction.

    Attributes
    ----------
    committed : tuple of str
        SOP Instance UIDs that it keeps.
    failed : mapping of str to int
        SOP Instance UIDs that it does not, with Failure Reason.
    """

    transaction_uid: str
    committed: tuple[str, ...]
    failed: Mapping[str, int]


def question(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    """Action Information of an N-ACTION (PS3.4 J.3.2)."""
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = [_item(reference) for reference in references]
    return asked


def report(transaction_uid: str, committed: Iterable[Reference], failed: Mapping[Reference, int]) -> Dataset:
    """Event Information of an N-EVENT-REPORT (PS3.4 J.3.3), as the peer's side makes it."""
    told = question(transaction_uid, committed)
    if failed:
        told.FailedSOPSequence = [_item(reference) for reference in failed]
        for item, reason in zip(told.FailedSOPSequence, failed.values(), strict=True):
            item.FailureReason = reason
    return told


def read(told: Dataset) -> Report:
    """Read the Event Information of an N-EVENT-REPORT.

    Raises
    ------
    ValueError
        It names no transaction.
    """
    transaction = str(told.get("TransactionUID", "") or "")
    if not transaction:
        msg = "the event information has no Transaction UID"
        raise ValueError(msg)
    return Report(
        transaction,
        tuple(str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence", None) or ()),
        {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", None) or PROCESSING_FAILURE)
            for item in told.get("FailedSOPSequence", None) or ()
        },
    )


def wording(reason: int) -> str:
    """A Failure Reason for a person."""
    return f"0x{reason:04X} {FAILURES.get(reason, '(not a reason of the standard)')}"


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item
