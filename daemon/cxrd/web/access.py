"""Who may see and do what over HTTP, decided before any page runs.

Without ``web.operators`` a caller on this machine may do everything, and anybody else may read what shows no
film. With it everybody gives a name and a password (RFC 7617), and that name stands in the audit trail. What
monitors ask is open to all: it names no patient.

A page of another site must not act for a person who is let in: a Host that is a name we do not go by is refused
(DNS rebinding), and so is a write whose browser says that it comes from elsewhere. Neither needs a cookie.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxrd.errors import ConfigError
from cxrd.serving import Web

OPEN = frozenset({"/metrics", "/healthz", "/readyz", "/api/v1/health"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = "loopback"
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # an address of ours may hold a UID or an accession number
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware: lets in, refuses, and says who it is as ``request.state.operator``.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    web : Web
        Names we go by, and who the operators are.
    answer : callable
        Makes the response to a request that is refused.
    largest : int
        Bytes that the body of a request may have.
    """

    def __init__(
        self, app: ASGIApp, web: Web, answer: Callable[[Request, HTTPException], ASGIApp], largest: int
    ) -> None:
        self._app = app
        self._answer = answer
        self._largest = largest
        self._operators = web.operators
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in web.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.operator = None
        app = self._app
        if scope["path"] not in OPEN:  # as routed: an URL would hold the Host that the caller wrote
            try:
                self._refuse_strangers(request)
                request.state.operator = self._who(request)
                if request.method not in SAFE:
                    operator(request)
            except HTTPException as refusal:
                app = self._answer(request, refusal)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await app(scope, _at_most(self._largest, receive), with_headers)

    def _refuse_strangers(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            raise HTTPException(421, "This node does not go by that name. Add it to web.hosts, or use its address.")
        if request.method in SAFE:
            return
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        ours = site in {"same-origin", "none"} if site else origin is None or urlsplit(origin).netloc == host
        if not ours:
            raise HTTPException(403, "A page of another site asked for this. Open this node's own page, and ask there.")

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header can be meant for us: an address cannot be rebound, a name must be ours."""
        name = urlsplit(f"//{host}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self._names
        return True

    def _who(self, request: Request) -> str | None:
        if self._operators is None:
            return LOOPBACK if _is_local(request) else None
        name = _named(request.headers.get("authorization", ""), self._operators)
        if name is None:
            raise HTTPException(
                401,
                "Give the name and password of an operator.",
                {"WWW-Authenticate": 'Basic realm="cxrd", charset="UTF-8"'},
            )
        return name


def _at_most(largest: int, receive: Receive) -> Receive:
    """Stop reading a body that is too large, whatever its length was said to be."""
    left = largest

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"A request may have {largest // 2**20} MiB at most.")
        return message

    return limited


def operator(request: Request) -> str:
    """Name of the operator who asks.

    Raises
    ------
    HTTPException
        403: it is nobody who may.
    """
    name: str | None = request.state.operator
    if name is None:
        raise HTTPException(403, "Only an operator may see films or change anything: set web.operators, then log in.")
    return name


def read_operators(file: Path) -> dict[str, str]:
    """Names and passwords, one ``name:password`` a line.

    Raises
    ------
    ConfigError
        The file cannot be read, holds nobody, or can be read by everybody on this machine.
    """
    try:
        if file.stat().st_mode & 0o007:
            raise ConfigError(f"web.operators {file} can be read by everybody on this machine", hint="chmod 640 it")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"web.operators {file} cannot be read: {error}", hint="one name:password a line") from error
    pairs = (line.strip().partition(":") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    found = {name: password for name, _, password in pairs if name and password}
    if not found:
        raise ConfigError(f"web.operators {file} names nobody", hint="one name:password a line")
    return found


def _named(authorization: str, file: Path) -> str | None:
    """Name of the operator whose password was given; the file is read anew, so that a change holds at once."""
    scheme, _, given = authorization.partition(" ")
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        expected = read_operators(file).get(name, "")
    except (binascii.Error, UnicodeDecodeError, ConfigError):
        return None
    same = hmac.compare_digest(password.encode(), expected.encode())
    return name if scheme.lower() == "basic" and expected and same else None


def _is_local(request: Request) -> bool:
    """Whether a program on this machine asks, and not a proxy on it for somebody else."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
