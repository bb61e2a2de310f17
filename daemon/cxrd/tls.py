"""DICOM TLS: what each end shows and believes, taken up anew when its files change (PS3.15 B.10 and B.12).

The listener and the sender keep one :class:`Credentials` for each configuration and ask it for a context with every
connection, so that a renewed certificate needs no restart. Files that cannot be used leave the old ones in force.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from socket import socket
from threading import Lock
from typing import Any

from cryptography import x509

from cxrd.errors import ConfigError
from cxrd.peers import DestinationTls, ListenerTls, Profile, Shown, Tls
from cxrd.settings import Settings
from cxrd.watch.logs import logger

SUITES: Mapping[Profile, str] = {
    "bcp195": "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!PSK:!aDSS:@SECLEVEL=2",
    "bcp195-nd": ":".join(
        f"{kind}-AES{bits}"
        for bits in ("256-GCM-SHA384", "128-GCM-SHA256")
        for kind in ("ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA")
    )
    + ":@SECLEVEL=2",
}
"""OpenSSL cipher lists for TLS 1.2: forward secret and authenticated encryption only, as those of TLS 1.3 all are.
Security level 2 refuses keys below 2048 bits (RSA, DHE) or 224 (ECDHE), and signatures by SHA-1."""

_ONLY_CERTIFICATES = "leave nothing in it but the CERTIFICATE blocks of the CAs, each whole"


def suites(profile: Profile) -> list[str]:
    """Cipher suites of a profile under TLS 1.2, by OpenSSL's names, as they are offered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(SUITES[profile])
    return [str(c["name"]) for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]


class Fault(StrEnum):
    """Why a handshake failed: a bounded metric label."""

    TIMEOUT = "timeout"
    NOT_TLS = "not_tls"
    PROTOCOL = "protocol"
    CIPHER = "cipher"
    NO_CERTIFICATE = "no_certificate"
    UNKNOWN_CA = "unknown_ca"
    EXPIRED = "expired"
    BAD_CERTIFICATE = "bad_certificate"
    REFUSED_BY_PEER = "refused_by_peer"
    CLOSED = "closed"
    OTHER = "other"


_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_… of OpenSSL
_UNKNOWN_CA = {2, 18, 19, 20, 21}
_REASONS = {
    "HTTP_REQUEST": Fault.NOT_TLS,
    "WRONG_VERSION_NUMBER": Fault.NOT_TLS,
    "UNEXPECTED_MESSAGE": Fault.NOT_TLS,
    "UNSUPPORTED_PROTOCOL": Fault.PROTOCOL,
    "VERSION_TOO_LOW": Fault.PROTOCOL,
    "NO_PROTOCOLS_AVAILABLE": Fault.PROTOCOL,
    "NO_SHARED_CIPHER": Fault.CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Fault.NO_CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": Fault.CLOSED,
}


def fault_of(error: OSError) -> Fault:
    """Name what went wrong in a handshake."""
    if isinstance(error, TimeoutError):
        return Fault.TIMEOUT
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
            return Fault.EXPIRED
        return Fault.UNKNOWN_CA if error.verify_code in _UNKNOWN_CA else Fault.BAD_CERTIFICATE
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return Fault.CLOSED
    reason = error.reason or ""
    return _REASONS.get(reason, Fault.REFUSED_BY_PEER if "ALERT" in reason else Fault.OTHER)


class Credentials:
    """Contexts for the connections of one end.

    Parameters
    ----------
    tls : ListenerTls or DestinationTls
        Files and profile.

    Raises
    ------
    ConfigError
        The files cannot be used.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = Lock()
        self._log: Any = logger()
        self._seen = _stamps(tls)
        self._context = make_context(tls)

    def context(self) -> ssl.SSLContext:
        """Return a context for a new connection, from the files as they are now if they can be used."""
        with self._lock:
            if _stamps(self._tls) != self._seen:
                try:
                    self._take()
                except ConfigError as error:
                    self._log.error("new TLS files refused; the old ones stay in force", error=str(error))
            return self._context

    def reload(self) -> None:
        """Take the files as they are now.

        Raises
        ------
        ConfigError
            They cannot be used; the old ones stay in force.
        """
        with self._lock:
            self._take()

    def _take(self) -> None:
        self._seen = _stamps(self._tls)  # a bad file is told of once, not with every connection
        self._context = make_context(self._tls)
        self._log.info("TLS files taken", certificate=str(self._tls.certificate))


def files(tls: Tls) -> list[Path]:
    """Files that make up a configuration."""
    named = (tls.certificate, tls.key, tls.key_password_file, tls.ca)
    return [path for path in named if path is not None]


def _stamps(tls: Tls) -> list[tuple[int, int, int] | None]:
    """What tells that a file is another one; None while it is away."""
    found: list[tuple[int, int, int] | None] = []
    for path in files(tls):
        try:
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return found


def make_context(tls: Tls) -> ssl.SSLContext:
    """Build a context of a profile from its files.

    Raises
    ------
    ConfigError
        A file cannot be read, the key is not that of the certificate, or its password is wrong.
    """
    serves = isinstance(tls, ListenerTls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES[tls.profile])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if isinstance(tls, ListenerTls):
        required = tls.client_certificate == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    else:
        context.check_hostname = tls.check_host
    certificates(tls.ca)
    try:
        context.load_verify_locations(tls.ca)
    except OSError as error:  # OpenSSL reads what stands beside the certificates too
        raise ConfigError(f"{tls.ca} cannot be used: {error.strerror}", hint=_ONLY_CERTIFICATES) from None
    if tls.certificate is not None and tls.key is not None:
        certificates(tls.certificate)
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_password(tls.key_password_file))
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(*_unusable(tls, error)) from None
    return context


def _unusable(tls: Tls, error: OSError) -> tuple[str]:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return (f"{tls.key} is not the private key of {tls.certificate}",)
    if isinstance(error, ssl.SSLError):
        return (
            f"{tls.key} cannot be used: not a PEM private key, or its password is wrong ({reason or 'unreadable'})",
        )
    return (f"{tls.key} cannot be read: {error.strerror}",)


def _password(file: Path | None) -> str:
    """Password of the key; "" keeps OpenSSL from asking at the terminal."""
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def certificates(file: Path) -> list[x509.Certificate]:
    """Certificates of a PEM file.

    Raises
    ------
    ConfigError
        It cannot be read, or has none.
    """
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{file} is not a certificate in PEM form") from None


def ends(settings: Settings) -> dict[str, Tls]:
    """Everything here that speaks TLS, by name: the listener, destinations, archives."""
    named: list[tuple[str, Tls | None]] = [
        ("listener", settings.dicom.tls),
        *((f"destination {one.name}", one.tls) for one in settings.destinations),
        *((f"archive {one.name}", one.tls) for one in settings.archives),
    ]
    return {name: tls for name, tls in named if tls is not None}


def expiries(name: str, tls: Tls) -> Iterator[tuple[str, float]]:
    """When our certificate and the first of the CAs that we believe end, epoch seconds; 0 when they cannot be used."""
    try:
        make_context(tls)
    except ConfigError:
        yield name, 0.0
        return
    if tls.certificate is not None:
        yield name, min(c.not_valid_after_utc.timestamp() for c in certificates(tls.certificate))
    yield f"{name} ca", min(c.not_valid_after_utc.timestamp() for c in certificates(tls.ca))


def shown(connection: socket | None) -> Shown | None:
    """The certificate that the other end of a connection showed; None without one, or without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    der = connection.getpeercert(binary_form=True)
    if der is None:
        return None
    told = connection.getpeercert() or {}
    subject: Any = told.get("subject", ())
    names = {value for pairs in subject for kind, value in pairs if kind == "commonName"}
    others: Any = told.get("subjectAltName", ())
    names |= {value for kind, value in others if kind in {"DNS", "IP Address"}}
    return Shown(sha256(der).hexdigest(), frozenset(names))


class Handshake:
    """One handshake to a destination, for pynetdicom's ``tls_args``: it keeps what went wrong, and pynetdicom does not.

    Parameters
    ----------
    context : ssl.SSLContext
        Of :class:`Credentials`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.fault = ""

    def wrap_socket(self, plain: socket, *, server_side: bool, server_hostname: str) -> ssl.SSLSocket:
        """As :meth:`ssl.SSLContext.wrap_socket`."""
        wrapped = self._context.wrap_socket(plain, server_side=server_side, server_hostname=server_hostname)
        handshake = wrapped.do_handshake

        def noting(*args: Any, **options: Any) -> None:
            try:
                handshake(*args, **options)
            except OSError as error:
                said = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
                self.fault = f"{fault_of(error)}: {said}"
                wrapped.close()  # pynetdicom only tries to
                raise

        wrapped.do_handshake = noting  # type: ignore[method-assign]
        return wrapped


@lru_cache(maxsize=64)
def _credentials(settings: DestinationTls) -> Credentials:
    return Credentials(settings)


def handshake(settings: DestinationTls) -> Handshake:
    """Prepare a handshake with a destination.

    Raises
    ------
    ConfigError
        Its files could never be used since this process started.
    """
    return Handshake(_credentials(settings).context())


def secure(plain: socket, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    """Shake hands as the listener, for at most so many seconds.

    Raises
    ------
    OSError
        It failed (see :func:`fault_of`); the connection is closed.
    """
    plain.settimeout(timeout_s)
    wrapped = None
    try:
        wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        wrapped.do_handshake()
    except (OSError, ValueError) as error:  # ValueError: it is closed already
        with suppress(OSError):
            (wrapped or plain).close()
        raise error if isinstance(error, OSError) else ConnectionAbortedError() from error
    return wrapped
