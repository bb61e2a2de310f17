"""Which decoder reads which transfer syntax.

Named for each syntax, because pydicom's own order is not by speed or safety: pylibjpeg's RLE decoder raises past
``Exception`` on broken streams, and python-gdcm (which must not be installed) aborts the process.
"""

from __future__ import annotations

from types import MappingProxyType

from pydicom import uid

NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)

PLUGINS = MappingProxyType(
    {
        uid.RLELossless: "pydicom",
        uid.JPEGBaseline8Bit: "pillow",
        uid.JPEGExtended12Bit: "pylibjpeg",
        uid.JPEGLossless: "pylibjpeg",
        uid.JPEGLosslessSV1: "pylibjpeg",
        uid.JPEGLSLossless: "pyjpegls",
        uid.JPEGLSNearLossless: "pyjpegls",
        uid.JPEG2000Lossless: "pylibjpeg",
        uid.JPEG2000: "pylibjpeg",
        uid.HTJ2KLossless: "pylibjpeg",
        uid.HTJ2KLosslessRPCL: "pylibjpeg",
        uid.HTJ2K: "pylibjpeg",
    }
)
"""Transfer syntax to pydicom's name of the decoder."""


def plugin(syntax: uid.UID, bits_allocated: int) -> str:
    """Name the decoder of a transfer syntax for pixels of so many bits allocated; "" where none is needed."""
    if syntax == uid.JPEGExtended12Bit and bits_allocated == 8:
        return PLUGINS[uid.JPEGBaseline8Bit]  # whose inverse transform rounds as dcmtk's does; it takes no 12 bits
    return PLUGINS.get(syntax, "")
