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
