"""Every error that cxrd raises on purpose, drawn as a tree.

::

    CxrdError                 what failed; .hint says what to do next, .retryable who acts on it
    ├── ConfigError           the operator's configuration is wrong (exit code 2)
    ├── PackageError          a model package is incomplete, altered or not for this version
    ├── InferenceError        a model was fed, or gave, something that cannot be judged
    ├── Refused               an object that cannot be analysed; .reason is a bounded code
    ├── PayloadLost           bytes that a row names are missing or altered: one job's trouble (retryable)
    ├── Unstorable            a value that the database does not take: one job's trouble, and for good
    ├── StoreError            database, payload store or machine does not do its part: everybody's trouble (retryable)
    └── DeliveryError         a destination did not take an object; .retryable says whether to try again

Branches are cut by *who can act*: an operator on ConfigError and PackageError, the sending system on
Refused, time alone on a retryable error.
"""

from __future__ import annotations

from enum import StrEnum


class CxrdError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message : str
        What failed and why, without patient data.
    hint : str
        What the person who reads it can do next.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(CxrdError):
    """The configuration cannot be used; the message lists every fault at once."""


class PackageError(CxrdError):
    """A model package is refused at load: a digest, the schema or the graph does not fit."""


class InferenceError(CxrdError):
    """A model was fed what it was not made for, or gave what cannot be an answer."""


class Reason(StrEnum):
    """Why an object is not analysed. Bounded: it is a metric label and a column.

    The member's docstring-like value is what the CLI, the audit and the metrics show.
    """

    UNREADABLE = "unreadable"
    MISSING_UID = "missing_uid"
    SOP_CLASS = "sop_class"
    MODALITY = "modality"
    NO_PIXELS = "no_pixels"
    COLOUR = "colour"
    MULTIFRAME = "multiframe"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    FOR_PROCESSING = "for_processing"
    BODY_PART = "body_part"
    LATERAL = "lateral"
    NOT_CHEST_FILM = "not_chest_film"
    TURNED = "turned"
    INVERTED = "inverted"
    LOCALIZER = "localizer"
    BURNED_IN = "burned_in"
    DUPLICATE = "duplicate"
    PATIENT_MISMATCH = "patient_mismatch"
    TRANSFER_SYNTAX = "transfer_syntax"
    DECODE_FAILED = "decode_failed"
    DECODER_DIED = "decoder_died"
    UID_CONFLICT = "uid_conflict"

    @property
    def leaves_a_film_unread(self) -> bool:
        """Whether a reader of the study's report should be told.

        Not of what is no chest radiograph by its header, and not of a film whose exposure is judged in another image.
        """
        return self not in {
            Reason.MISSING_UID,
            Reason.SOP_CLASS,
            Reason.MODALITY,
            Reason.NO_PIXELS,
            Reason.FOR_PROCESSING,
            Reason.BODY_PART,
            Reason.LOCALIZER,
            Reason.DUPLICATE,
            Reason.UID_CONFLICT,
        }


class Refused(CxrdError):
    """An object cannot be analysed, for a reason that will not change by trying again.

    Parameters
    ----------
    reason : Reason
        The bounded code.
    message : str
        One sentence for a person, without patient data.
    patient : (str, str) or None
        Whose the object is by its header, as :attr:`cxrd.pipeline.Prepared.patient`: to be compared, never told. None
        where its header could not be read.
    """

    def __init__(self, reason: Reason, message: str, patient: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.patient = patient

    def __reduce__(self) -> tuple[type[Refused], tuple[Reason, str, tuple[str, str] | None]]:
        """Survive the way back from a decode process (pickle calls ``__init__`` with these)."""
        return type(self), (self.reason, self.message, self.patient)


class PayloadLost(CxrdError):
    """Stored bytes are missing, altered or unreadable: the jobs that need them wait, and no other does.

    Parameters
    ----------
    digest : str
        sha256 (hex) that the bytes should have.
    what : str
        What is wrong with them.
    """

    retryable = True

    def __init__(self, digest: str, what: str) -> None:
        super().__init__(f"payload {digest[:12]} {what}", hint="restore it from a backup, or send the study again")
        self.digest = digest
        self.what = what

    def __reduce__(self) -> tuple[type[PayloadLost], tuple[str, str]]:
        """Survive the way back from a decode process (pickle calls ``__init__`` with these)."""
        return type(self), (self.digest, self.what)


class StoreError(CxrdError):
    """The database or the payload store cannot take the work now; the sender should keep it."""

    retryable = True


class Unstorable(CxrdError):
    """The database takes no such value, whoever tries how often; the work that holds it cannot end otherwise."""


class DeliveryError(CxrdError):
    """A destination did not take an object.

    Parameters
    ----------
    message : str
        What the peer answered, or why it could not be reached.
    retryable : bool
        Whether the same bytes may succeed later (a peer that is down) or never will.
    status : int or None
        The DIMSE status (PS3.7 annex C), where there was one.
    """

    def __init__(self, message: str, *, retryable: bool, status: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.status = status
