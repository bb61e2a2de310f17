"""The part of ``cxrd check`` that reads certificates: can they be used, do they fit together, until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from cxrd.errors import ConfigError
from cxrd.peers import ListenerTls, Tls
from cxrd.settings import Settings
from cxrd.tls import certificates, ends, make_context
from cxrd.watch.health import Check

WARN_DAYS = 30
_RENEW = "renew it (docs/how-to/tls.md, Rotate); a running node takes the new files by itself"


def tls(settings: Settings, clock: Callable[[], float]) -> Iterator[Check]:
    """Look at the files of the listener and of every destination and archive."""
    for name, end in ends(settings).items():
        yield from _end(name, end, clock)
        if isinstance(end, ListenerTls):
            yield _names(end.certificate)


def _end(name: str, tls: Tls, clock: Callable[[], float]) -> Iterator[Check]:
    title = f"certificate {name}"
    try:
        make_context(tls)
    except ConfigError as error:
        todo = "correct the path, its owner (the user that runs cxrd must read it) or its content: docs/how-to/tls.md"
        yield Check(title, ok=False, found=error.message, todo=todo)
        return
    if tls.certificate is not None and tls.key is not None:
        own = certificates(tls.certificate)
        yield _chain(title, tls.certificate, own) or _until(title, own, clock)
        if tls.key.stat().st_mode & 0o004:
            todo = f"chmod 600 {tls.key}, owned by the user that runs cxrd"
            yield Check(f"key {name}", ok=True, warn=True, found=f"{tls.key} can be read by everybody", todo=todo)
    yield _until(f"{title} ca", certificates(tls.ca), clock)


def _chain(title: str, file: Path, own: Sequence[x509.Certificate]) -> Check | None:
    """Whether each certificate of a file is signed by the one after it."""
    for number, (signed, signer) in enumerate(pairwise(own), 1):
        try:
            signed.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature):
            return Check(
                title,
                ok=False,
                found=f"certificate {number} of {file} is not signed by certificate {number + 1}",
                todo="put our own first, then each one's signer (openssl storeutl -noout -text -certs FILE)",
            )
    return None


def _until(title: str, found: Sequence[x509.Certificate], clock: Callable[[], float]) -> Check:
    first = min(found, key=lambda c: c.not_valid_after_utc)
    late = max(found, key=lambda c: c.not_valid_before_utc)
    days = (first.not_valid_after_utc.timestamp() - clock()) / 86400
    who = first.subject.rfc4514_string() or "without a name"
    if days < 0:
        return Check(title, ok=False, found=f"{who} ended on {_day(first.not_valid_after_utc)}", todo=_RENEW)
    if late.not_valid_before_utc.timestamp() > clock():
        found_text = f"{late.subject.rfc4514_string()} begins on {_day(late.not_valid_before_utc)}"
        return Check(title, ok=False, found=found_text, todo="wait until then, or set this machine's clock right")
    until = f"{who}, until {_day(first.not_valid_after_utc)}"
    return Check(title, ok=True, warn=days < WARN_DAYS, found=until, todo=_RENEW)


def _names(file: Path) -> Check:
    """What callers may know us by, when they check it."""
    try:
        (leaf, *_) = certificates(file)
        told = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*told.get_values_for_type(x509.DNSName), *map(str, told.get_values_for_type(x509.IPAddress))]
    except (ConfigError, x509.ExtensionNotFound):
        names = []
    todo = "ask for one with a subject alternative name: callers that check the host refuse it"
    found = f"names {', '.join(names)}" if names else "the certificate names no host"
    return Check("certificate listener host", ok=True, warn=not names, found=found, todo=todo)


def _day(when: datetime) -> str:
    return when.date().isoformat()
