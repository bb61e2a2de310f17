"""A TCP proxy that breaks a connection where a test wants it broken."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from enum import StrEnum
from threading import Event, Lock, Thread
from typing import Self

CHUNK = 4096


class Way(StrEnum):
    """Which bytes are counted, and stop arriving, when a connection breaks."""

    REQUEST = "request"
    ANSWER = "answer"


class Fault(StrEnum):
    """What becomes of a connection."""

    CUT = "cut"  # both ends see an orderly end in the middle of a message
    RESET = "reset"  # both ends see RST
    HALF_CLOSE = "half_close"  # no more bytes this way, the other way goes on
    STALL = "stall"  # nothing arrives any more, and nobody is told


class Proxy:
    """Passes connections on to a port of this machine; breaks one of them when told to.

    Parameters
    ----------
    target : int
        TCP port on 127.0.0.1.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._planned: tuple[Fault, Way, int] | None = None
        self._lock = Lock()
        self._sockets: list[socket.socket] = []
        self.broken = Event()

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for one in self._sockets:
            _close(one)

    def spoil(self, fault: Fault, way: Way, after: int = 0) -> None:
        """Break one connection: the first that carries one byte more than ``after`` this way from now on."""
        with self._lock:
            self._planned = (fault, way, after)
        self.broken.clear()

    def _accept(self) -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                Thread(target=self._pump, args=(near, far, Way.REQUEST), daemon=True).start()
                Thread(target=self._pump, args=(far, near, Way.ANSWER), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        with suppress(OSError, ValueError):  # the other pump broke the connection
            while data := _wait_for(source):
                fault, passed = self._due(way, data)
                sink.sendall(passed)
                if fault is not None:
                    self._break(fault, source, sink)
                    return
            sink.shutdown(socket.SHUT_WR)

    def _due(self, way: Way, data: bytes) -> tuple[Fault | None, bytes]:
        """The fault that this chunk meets, and what of the chunk still passes."""
        with self._lock:
            if self._planned is None or self._planned[1] is not way:
                return None, data
            fault, _, left = self._planned
            if len(data) <= left:
                self._planned = (fault, way, left - len(data))
                return None, data
            self._planned = None
            return fault, data[:left]

    def _break(self, fault: Fault, source: socket.socket, sink: socket.socket) -> None:
        if fault is Fault.RESET:
            for one in (source, sink):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault in (Fault.RESET, Fault.CUT):
            for one in (source, sink):
                _close(one, reset=fault is Fault.RESET)
        if fault is Fault.HALF_CLOSE:
            sink.shutdown(socket.SHUT_WR)
        self.broken.set()  # a stalled connection stays as it is: open, and silent this way


def _wait_for(source: socket.socket) -> bytes:
    """Bytes that came; a look every now and then, because the kernel resets nothing while somebody reads it."""
    while not select.select([source], [], [], 0.05)[0]:
        pass
    return source.recv(CHUNK)


def _close(one: socket.socket, *, reset: bool = False) -> None:
    with suppress(OSError):
        if not reset:
            one.shutdown(socket.SHUT_RDWR)
    one.close()
