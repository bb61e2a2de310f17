"""The listener's sockets: who is at the door, before anybody has asked for an association.

A connection costs nothing but a thread until it has asked for one. Handshakes happen in that thread, never in the loop
that accepts; and of connections that say nothing only so many are kept, the newest, so that a thousand of them do not
keep a modality out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from socketserver import BaseServer
from threading import Lock, Thread
from typing import Any

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from cxrd import tls
from cxrd.intake.receiving import receive

_config.LOG_HANDLER_LEVEL = "none"  # its handlers describe every message, whether anybody listens or not

WAITING = 64
"""Connections of one door that have not asked for an association yet; the oldest gives way to one more."""
HANDSHAKE_S = 10.0


class Waiting:
    """Connections that have not asked for an association yet; the oldest is closed for one too many."""

    def __init__(self, most: int = WAITING) -> None:
        self._most = most
        self._lock = Lock()
        self._held: dict[tuple[Any, ...], socket.socket] = {}  # by the peer's address and port, oldest first

    def add(self, address: tuple[Any, ...], connection: socket.socket) -> None:
        """Note a new connection."""
        with self._lock:
            self._held[address] = connection
            oldest = self._held.pop(next(iter(self._held))) if len(self._held) > self._most else None
        if oldest is not None:
            with suppress(OSError):  # its thread, which reads from it, closes it
                oldest.shutdown(socket.SHUT_RDWR)

    def done(self, address: tuple[Any, ...]) -> None:
        """Forget a connection: it has asked for an association, or is closed."""
        with self._lock:
            self._held.pop(address, None)


class Caller(RequestHandler):
    """Begins an association on a connection."""

    server: Server

    def _create_association(self) -> Association:
        made = super()._create_association()
        receive(made, self.request, self.server.most())
        return made


class Server(ThreadedAssociationServer):
    """Associations from one listening socket.

    Parameters
    ----------
    entity : AE
        Whom callers speak to.
    door : socket
        It listens already.
    handlers : sequence
        pynetdicom's event handlers.
    most : callable
        Bytes of the largest object that is kept.
    credentials : Credentials or None
        For TLS.
    failed : callable
        Told of each handshake that failed, and why.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        entity: AE,
        door: socket.socket,
        handlers: Sequence[Any],
        *,
        most: Callable[[], int],
        credentials: tls.Credentials | None = None,
        failed: Callable[[tls.Fault, str], None] = lambda _fault, _peer: None,
    ) -> None:
        self._door = door
        self._credentials = credentials
        self._failed = failed
        self.most = most
        self.waiting = Waiting()
        door.setblocking(False)  # several processes may accept from it, and one of them comes too late
        super().__init__(
            entity, door.getsockname(), entity.ae_title, entity.supported_contexts, None, [*handlers], Caller
        )

    @property
    def port(self) -> int:
        """TCP port."""
        return int(self._door.getsockname()[1])

    def start(self) -> None:
        """Accept in a thread until :meth:`stop`."""
        Thread(target=self.serve_forever, daemon=True, name=f"door-{self.port}").start()

    def stop(self) -> None:
        """Accept nothing more."""
        BaseServer.shutdown(self)  # pynetdicom's own would also shut the door for other processes
        self._door.close()

    def server_bind(self) -> None:
        """Take the socket that listens already instead of the one that socketserver made."""
        if self.socket is not None:
            self.socket.close()
        self.socket = self._door

    def server_activate(self) -> None:
        """Nothing: it listens."""

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread."""
        self.waiting.add(client_address[:2], request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, then let pynetdicom begin an association."""
        if self._credentials is not None:
            try:
                request = tls.secure(request, self._credentials.context(), HANDSHAKE_S)
            except OSError as error:
                self.waiting.done(client_address[:2])
                self._failed(tls.fault_of(error), str(client_address[0]))
                return
            self.waiting.add(client_address[:2], request)
        super().process_request_thread(request, client_address)
