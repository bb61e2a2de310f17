"""``cxrd check``: everything a node needs, looked at from outside before or while it runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from cxrd.delivery import sender
from cxrd.errors import CxrdError
from cxrd.inference import engine
from cxrd.inference.packages import find_packages
from cxrd.settings import Settings
from cxrd.store.database import Database
from cxrd.store.payload import open_payloads
from cxrd.watch.health import Check, disk


def inspect(settings: Settings) -> list[Check]:
    """Look at database, storage, models, ports and destinations, in the order a repair would go."""
    found = [_database(settings), _storage(settings), *_models(settings)]
    found += [
        _port("DICOM port", settings.dicom.bind, settings.dicom.port),
        _port("web port", settings.web.bind, settings.web.port),
        _sources(settings),
        *_destinations(settings),
    ]
    return found


def _database(settings: Settings) -> Check:
    try:
        Database(settings.database.url).check_schema()
    except CxrdError as error:
        return Check("database", ok=False, found=error.message, todo=error.hint)
    return Check("database", ok=True, found="answers, schema is current")


def _storage(settings: Settings) -> Check:
    try:
        free = open_payloads(settings.storage).free_bytes()
    except (CxrdError, OSError) as error:
        return Check("storage", ok=False, found=str(error), todo=f"make {settings.storage.dir} writable for this user")
    return disk(free, settings.storage.min_free_mb * 2**20)


def _models(settings: Settings) -> Iterator[Check]:
    try:
        folders = find_packages(settings.models.dir, settings.models.enabled)
    except CxrdError as error:
        yield Check("models", ok=False, found=error.message, todo=error.hint)
        return
    for folder in folders:
        name = f"model {folder.parent.name} {folder.name}"
        try:
            classifier = engine.load(folder, settings.inference.provider, settings.inference.threads)
        except CxrdError as error:
            yield Check(name, ok=False, found=error.message, todo=error.hint)
        else:
            yield Check(name, ok=True, found=f"digest {classifier.ref.digest[:12]}, runs on {classifier.provider}")


def _port(name: str, bind: str, port: int) -> Check:
    """Free, or held by a node that runs; both are sound, a foreign holder shows at ``cxrd serve``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            taken = Check(name, ok=True, found=f"{bind}:{port} is in use, by cxrd if it is running")
            wrong = Check(
                name, ok=False, found=f"{bind}:{port}: {error.strerror}", todo="choose another address or port"
            )
            return taken if error.errno in _IN_USE else wrong
    return Check(name, ok=True, found=f"{bind}:{port} is free")


_IN_USE = (98, 48)  # EADDRINUSE on Linux and macOS


def _sources(settings: Settings) -> Check:
    names = ", ".join(s.name for s in settings.dicom.sources)
    if names:
        return Check("sources", ok=True, found=names)
    return Check("sources", ok=True, found="none configured: every caller is accepted")


def _destinations(settings: Settings) -> Iterator[Check]:
    if not settings.destinations:
        yield Check(
            "destinations", ok=False, found="none configured: results stay in this node", todo="add [[destinations]]"
        )
    for destination in settings.destinations:
        up = sender.echo(destination, settings.dicom.ae_title)
        where = f"{destination.ae_title}@{destination.host}:{destination.port}"
        todo = "is it running, does it know our AE title, does a firewall stand between?"
        yield Check(
            f"destination {destination.name}",
            ok=up,
            found=f"{where} {'answers' if up else 'does not answer'} C-ECHO",
            todo=todo,
        )
