"""The part of ``cxrd check`` that opens sockets: our own ports, and each destination by C-ECHO."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from cxrd.backfill import archive as query
from cxrd.delivery import committer, sender
from cxrd.peers import Destination
from cxrd.settings import Settings
from cxrd.watch.health import Check

_AT_ONCE = 16


def port(name: str, bind: str, number: int, *, ours: bool) -> Check:
    """Whether an address can be listened on; ``ours`` when a node of this machine already does."""
    where = f"{bind}:{number}"
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, number))
            probe.listen(1)  # Linux lets two sockets bind where only one may listen
        except (OSError, OverflowError) as error:
            return _taken(name, where, error, ours=ours)
    return Check(name, ok=True, found=f"{where} is free")


def _taken(name: str, where: str, error: Exception, *, ours: bool) -> Check:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE and ours:
        return Check(name, ok=True, found=f"{where} is in use by cxrd, which is running")
    todo = {
        errno.EADDRINUSE: f"find who has it (ss -ltnp 'sport = :{where.rpartition(':')[2]}'), or choose another",
        errno.EACCES: "below 1024 it needs CAP_NET_BIND_SERVICE (drop-in of deploy/install.md), or choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address: bind to one of `ip address`, or to 0.0.0.0",
    }.get(number or 0, "choose an address of this machine and a free port")
    what = "is in use by another program" if number == errno.EADDRINUSE else str(getattr(error, "strerror", error))
    return Check(name, ok=False, found=f"{where}: {what}", todo=todo)


def destinations(settings: Settings) -> Iterator[Check]:
    """Ask every destination at once, each with its own reason."""
    if not settings.destinations:
        todo = "add [[destinations]], or fetch results with cxrd studies show"
        yield Check("destinations", ok=True, warn=True, found="none configured: results stay in this node", todo=todo)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda d: _destination(d, settings.dicom.ae_title), settings.destinations)


def archives(settings: Settings) -> Iterator[Check]:
    """Ask every archive whether it can be queried, and look whether what it sends would be taken."""
    for archive in settings.archives:
        name, where = f"archive {archive.name}", f"{archive.ae_title}@{archive.host}:{archive.port}"
        if fault := query.fault_of(archive, settings.dicom.ae_title):
            todo = f"let its administrator allow our AE title {settings.dicom.ae_title} to query and retrieve"
            yield Check(name, ok=False, found=f"{where}: {fault}", todo=todo)
        elif settings.dicom.sources and archive.ae_title not in {s.ae_title for s in settings.dicom.sources}:
            todo = f"add its AE title {archive.ae_title} to [[dicom.sources]]"
            yield Check(
                name, ok=False, found=f"{where} answers, but is no source: its films would be rejected", todo=todo
            )
        else:
            yield Check(name, ok=True, found=f"{where} offers C-FIND and C-MOVE")


def _destination(destination: Destination, calling: str) -> Check:
    name = f"destination {destination.name}"
    where = f"{destination.ae_title}@{destination.host}:{destination.port}"
    try:
        socket.create_connection((destination.host, destination.port), timeout=destination.timeout_s).close()
    except socket.gaierror:
        todo = "correct the host name, or the DNS of this machine"
        return Check(name, ok=False, found=f"no address is known for {destination.host}", todo=todo)
    except OSError as error:
        todo = "is it running, is the port right, does a firewall stand between?"
        reason = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        return Check(name, ok=False, found=f"{where}: {reason}", todo=todo)
    fault = sender.echo_fault(destination, calling)
    if not fault and destination.commit and (refused := committer.fault_of(destination, calling)):
        todo = "set commit = false, or let its administrator offer Storage Commitment to our AE title"
        return Check(name, ok=False, found=f"{where} cannot be asked to commit: {refused}", todo=todo)
    if not fault:
        also = " over TLS" * bool(destination.tls) + " and offers Storage Commitment" * destination.commit
        return Check(name, ok=True, found=f"{where} answers C-ECHO{also}")
    if fault.startswith("TLS"):
        todo = "compare [destinations.tls] with what it shows (openssl s_client -connect); docs/how-to/tls.md, Trouble"
        return Check(name, ok=False, found=f"{where}: {fault}", todo=todo)
    todo = f"let its administrator add our AE title {calling} and this machine's address, and compare its own AE title"
    return Check(name, ok=False, found=f"{where}: {fault}", todo=todo)
