"""UIDs as a configuration names them: by keyword or by number (PS3.6 annex A)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

UID_FORM = re.compile(r"(?=.{3,64}$)[0-2](\.(0|[1-9][0-9]*))+")
"""PS3.5 9.1."""


def _uid(value: str) -> str:
    """A UID of PS3.6, given as such or by its keyword, for example DigitalXRayImageStorageForPresentation."""
    from pydicom._uid_dict import UID_dictionary  # noqa: PLC0415 - half a second that only such a source pays

    keywords = {entry[4]: uid for uid, entry in UID_dictionary.items()}
    if value in UID_dictionary:
        return value
    if value not in keywords:
        msg = f"{value} is neither a UID nor a keyword of PS3.6 annex A"
        raise ValueError(msg)
    return keywords[value]


KnownUID = Annotated[str, AfterValidator(_uid)]


def _storage_class(value: str) -> str:
    """A storage class of PS3.6, given as a UID or by its keyword, or the UID of a private or newer one."""
    from pydicom._uid_dict import UID_dictionary  # noqa: PLC0415 - as above

    if UID_FORM.fullmatch(value) and value not in UID_dictionary:
        return value
    uid = _uid(value)
    if "Storage" not in UID_dictionary[uid][4]:
        msg = f"{value} is no storage class"
        raise ValueError(msg)
    return uid


StorageClass = Annotated[str, AfterValidator(_storage_class)]
