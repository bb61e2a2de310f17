"""Sockets that listen, opened once for all listener processes of a node.

The supervisor holds them, so that the port stays ours while a listener that died is started again: callers of that
moment wait, and whichever listener is free first takes the next one.
"""

from __future__ import annotations

import socket

from cxrd.errors import StoreError
from cxrd.peers import Dicom

BACKLOG = 128


def open_doors(settings: Dicom) -> tuple[socket.socket, ...]:
    """Listen on the plain port, unless only TLS is asked for, and on the TLS port where there is one.

    Raises
    ------
    StoreError
        An address cannot be bound.
    """
    ports = [] if settings.tls and settings.tls.only else [settings.port]
    ports += [settings.tls.port] if settings.tls else []
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(_listen(settings.bind, port))  # noqa: PERF401 - those before a fault are closed
    except StoreError:
        for door in opened:
            door.close()
        raise
    return tuple(opened)


def _listen(bind: str, port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((bind, port))
        door.listen(BACKLOG)
    except OSError as error:
        door.close()
        raise StoreError(
            f"cannot listen on {bind}:{port}: {error.strerror}", hint="is another program using the port?"
        ) from error
    return door
