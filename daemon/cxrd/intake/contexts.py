"""What the listener negotiates: every storage class, in every encoding a chest film comes in."""

from __future__ import annotations

from pydicom import uid
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

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


def accepted() -> list[PresentationContext]:
    """Presentation contexts that the listener supports: C-ECHO and all storage classes.

    A class that is no film is accepted too: the object is then refused by name instead of failing at its
    sender with a reason that nobody reads.
    """
    storage = [build_context(str(c.abstract_syntax), list(TRANSFER_SYNTAXES)) for c in AllStoragePresentationContexts]
    return [build_context(Verification), *storage]
