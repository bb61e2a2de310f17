"""What a report calls a class: by the recipe, by the vocabulary, or by a private code of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

from cxrd.findings import ClassRole, Code
from cxrd.vocabulary import CHEST, PRIVATE_SCHEME, TERMS, Term
from cxrd_models.data.tasks import NORMAL
from cxrd_models.recipe import TermRecipe

_VALUE, _MEANING = 16, 64  # longest code value and meaning, characters (PS3.5 SH and LO)


def term_of(name: str, declared: Mapping[str, TermRecipe]) -> Term:
    """Return role, code and site of a class.

    A name of the vocabulary means the same in any case; a class that nobody has coded is a finding of the chest with
    a code of scheme 99CXRD, which a viewer shows by its meaning: the class's name.
    """
    if name in declared:
        told = declared[name]
        return Term(told.role, told.code, told.site or CHEST)
    known = TERMS.get(name) or {word.lower(): term for word, term in TERMS.items()}.get(name.lower())
    if known:
        return known
    if name.lower() in NORMAL:
        return TERMS["normal"]
    code = Code(value=_private(name), scheme=PRIVATE_SCHEME, meaning=name.replace("_", " ")[:_MEANING])
    return Term(ClassRole.FINDING, code, CHEST)


def _private(name: str) -> str:
    """A code value that follows from the name, and from no other."""
    plain = re.sub(r"[^A-Z0-9]", "", name.upper())[:7]
    return f"{plain}-{sha256(name.encode()).hexdigest()[:8].upper()}"[-_VALUE:]
