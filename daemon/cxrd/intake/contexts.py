"""What the listener negotiates: every storage class, in every encoding a chest film comes in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pydicom import uid
from pynetdicom import AllStoragePresentationContexts, register_uid
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from cxrd.commitment import PUSH_MODEL
from cxrd.peers import Source

# JPEG XL (…4.110 to 112) is left out: no decoder here reads it, so a sender must transcode before, not we fail after.
TRANSFER_SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
    uid.RLELossless,
)

STORAGE_CLASSES = tuple(str(c.abstract_syntax) for c in AllStoragePresentationContexts)
SERVED = frozenset({*STORAGE_CLASSES, str(Verification)})


def accepted() -> list[PresentationContext]:
    """Presentation contexts of an SCP that supports C-ECHO and all storage classes.

    A class that is no film is accepted too: the object is then refused by name instead of failing at its
    sender with a reason that nobody reads.
    """
    storage = [build_context(name, list(TRANSFER_SYNTAXES)) for name in STORAGE_CLASSES]
    return [verification(), *storage]


def verification() -> PresentationContext:
    """C-ECHO alone."""
    return build_context(Verification)


def reporting() -> PresentationContext:
    """Storage Commitment from its other side: the caller is the SCP, and tells what it has committed (PS3.4 J.3.3)."""
    context = build_context(PUSH_MODEL)
    context.scu_role, context.scp_role = False, True
    return context


def answering(
    asked: Iterable[PresentationContext], source: Source, *, reports: bool = False
) -> list[PresentationContext]:
    """The part of ``accepted`` that one association asks for and its source may send, in the sender's order.

    An SCP's own order decides which of several proposed encodings is taken (PS3.8 9.3.3), so ours would make
    a sender decompress a film that it proposes compressed first. And pynetdicom copies what an SCP supports
    for each association: 171 contexts of 16 encodings take 0.1 s of the interpreter, these hardly any.

    Parameters
    ----------
    asked : iterable of PresentationContext
        As proposed in the A-ASSOCIATE-RQ.
    source : Source
        May be limited to some SOP classes and transfer syntaxes.
    reports : bool
        It may tell what it has committed.
    """
    wanted: dict[str, dict[str, None]] = {}
    for context in asked:
        wanted.setdefault(str(context.abstract_syntax), {}).update(dict.fromkeys(context.transfer_syntax))
    served = {*source.sop_classes, str(Verification)} if source.sop_classes else SERVED
    served = served | {PUSH_MODEL} if reports else served - {PUSH_MODEL}
    syntaxes = source.transfer_syntaxes or TRANSFER_SYNTAXES
    return [_context(name, tuple(proposed), syntaxes) for name, proposed in wanted.items() if name in served]


@lru_cache(maxsize=1024)  # a sender proposes the same every time, often for every class there is
def _context(name: str, proposed: tuple[str, ...], syntaxes: tuple[str, ...]) -> PresentationContext:
    if name == Verification:
        return verification()
    if name == PUSH_MODEL:
        return reporting()
    if name not in STORAGE_CLASSES:  # pynetdicom would call no handler for a class that it does not know
        register_uid(name, f"Storage_{name.replace('.', '_')}", StorageServiceClass)
    known = [syntax for syntax in proposed if syntax in syntaxes]
    return build_context(name, known or list(syntaxes))  # none known: answered "not supported", by encoding
