"""``cxrd check``: everything a node needs, looked at from outside before or while it runs.

Lines come in the order a repair would go: configuration, database, clock, disk, models, ports, sources,
certificates, destinations, queue.
"""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from cxrd.errors import ConfigError, CxrdError, StoreError
from cxrd.inference import content, engine
from cxrd.inference.lifecycle import Entry
from cxrd.service.certificates import tls
from cxrd.service.choosing import check_thresholds, chosen
from cxrd.service.connecting import archives, destinations, port
from cxrd.service.databases import sqlite_file
from cxrd.service.model_set import load
from cxrd.settings import ROLES, Settings
from cxrd.store import packages, views
from cxrd.store.database import Database
from cxrd.store.payload import open_payloads
from cxrd.store.schema import JobState
from cxrd.store.volume import room
from cxrd.watch.health import Check, disk
from cxrd.web.access import read_operators

CLOCK_LIMIT_S = 5.0
"""How far our clock may be from the database's, and behind the newest row."""
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def inspect(settings: Settings, where: str = "defaults", clock: Callable[[], float] = time.time) -> list[Check]:
    """Look at everything.

    Parameters
    ----------
    settings : Settings
        A configuration that could be read.
    where : str
        Where it was read from.
    clock : callable
        Epoch seconds of this machine.
    """
    database, trouble = _database(settings)
    roles = _running(database)
    found = [Check("configuration", ok=True, found=f"{where}, digest {settings.fingerprint()[:12]}"), trouble]
    found += [_clock(database, clock), _synchronised(), _storage(settings), *_models(settings, database), _decoders()]
    found += [
        *_dicom_ports(settings, ours="listen" in roles),
        port("web port", settings.web.bind, settings.web.port, ours="web" in roles),
        _web(settings),
        *_sources(settings),
        *tls(settings, clock),
        *destinations(settings),
        *archives(settings),
        *_dead(database),
    ]
    return found


def refused(error: CxrdError) -> Check:
    """The line of a configuration that could not be read."""
    return Check(
        "configuration",
        ok=False,
        found=error.message,
        todo=error.hint or "repair the keys named; config/cxrd.toml shows all",
    )


def _database(settings: Settings) -> tuple[Database | None, Check]:
    """The database where it can be asked, and its line."""
    file = sqlite_file(settings.database.url)
    if file is not None and not file.exists():
        return None, _new_database(file)
    try:
        database = Database(settings.database.url)
        database.check_schema()
        if file is not None and not os.access(file, os.W_OK):
            raise StoreError(f"{file} cannot be written", hint=f"give it to the user that runs cxrd: chown cxrd {file}")
    except CxrdError as error:
        return None, Check("database", ok=False, found=error.message, todo=error.hint)
    return database, Check("database", ok=True, found=f"{database.engine.dialect.name} answers, schema is current")


def _new_database(file: Path) -> Check:
    folder = next(p for p in file.parents if p.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        todo = f"make {file.parent} a folder that this user can write"
        return Check("database", ok=False, found=f"{file} is not there and cannot be made", todo=todo)
    return Check("database", ok=True, found=f"{file} will be made when cxrd serve starts")


def _running(database: Database | None) -> set[str]:
    """Roles with a young heartbeat on this machine."""
    if database is None:
        return set()
    with database.read() as connection:
        now = database.now(connection)
        beats = views.last_beat_by_role(connection, host=socket.gethostname())
    return {role for role in ROLES if now - beats.get(role, 0.0) < 120}


def _clock(database: Database | None, clock: Callable[[], float]) -> Check:
    """Our clock against the database's and against the newest row: leases, due times and dates of reports use it."""
    if database is None:
        return Check("clock", ok=True, found="nothing to compare it with yet")
    with database.read() as connection:
        behind = max(database.now(connection), views.newest_audit_at(connection)) - clock()
    todo = "set it right and keep it so (timedatectl set-ntp true, or chrony); then start cxrd again"
    if behind > CLOCK_LIMIT_S:
        return Check("clock", ok=False, found=f"{behind:.0f} s behind the database's newest time", todo=todo)
    with database.read() as connection:
        ahead = clock() - database.now(connection)
    if ahead > CLOCK_LIMIT_S:
        return Check("clock", ok=False, found=f"{ahead:.0f} s ahead of the database's", todo=todo)
    return Check("clock", ok=True, found="agrees with the database")


def _synchronised() -> Check:
    """What the kernel knows of a time service (adjtimex(2) with no change asked)."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "adjtimex"):
        return Check("time service", ok=True, found="cannot be asked on this system")
    if libc.adjtimex(ctypes.byref((ctypes.c_ubyte * 512)())) == _TIME_ERROR:
        todo = "enable chrony or systemd-timesyncd: several machines and every report rely on the clock"
        return Check("time service", ok=True, warn=True, found="the clock is not synchronised", todo=todo)
    return Check("time service", ok=True, found="the clock is synchronised")


def _storage(settings: Settings) -> Check:
    folder = settings.storage.dir.absolute()
    todo = f"make {folder} a folder that this user can write"
    there = next(path for path in (folder, *folder.parents) if path.exists())  # what is to be made, serve makes
    try:
        if not there.is_dir() or not os.access(there, os.W_OK):
            return Check("disk", ok=False, found=f"{there} cannot be written", todo=todo)
        if settings.storage.s3:
            open_payloads(settings.storage)
        return disk(room(there).free, settings.storage.min_free_mb * 2**20)
    except CxrdError as error:
        return Check("disk", ok=False, found=error.message, todo=error.hint or todo)


def _models(settings: Settings, database: Database | None) -> Iterator[Check]:
    entries: tuple[Entry, ...] = ()
    try:
        if database is not None:
            with database.read() as connection:
                entries = packages.entries(connection)
        wanted = chosen(settings, entries)
    except CxrdError as error:
        yield Check("models", ok=False, found=error.message, todo=error.hint)
        return
    for one in wanted:
        name = f"model {one.model} {one.version}"
        try:
            classifier = load(settings, one)
        except CxrdError as error:
            yield Check(name, ok=False, found=error.message, todo=error.hint)
            continue
        provider, pinned = classifier.provider, ", pinned" if one.pinned else ""
        slow = provider == engine.CPU and settings.inference.provider == "auto" and Path("/dev/nvidiactl").exists()
        yield Check(
            name,
            ok=True,
            warn=slow,
            found=f"{one.stage}{pinned}, digest {classifier.ref.digest[:12]}, runs on {provider}",
            todo="a GPU is here, unused: pip install 'onnxruntime-gpu[cuda,cudnn]', or set inference.provider to cpu",
        )
    yield _content(settings)
    if settings.models.thresholds:
        yield _thresholds(settings, entries)


def _content(settings: Settings) -> Check:
    try:
        check = content.load(settings.admission)
    except CxrdError as error:
        return Check("content check", ok=False, found=error.message, todo=error.hint)
    if check is None:
        todo = 'admission.content = "refuse" looks at the pixels too: a third of real films name no view'
        return Check("content check", ok=True, warn=True, found="off: only headers are believed", todo=todo)
    return Check("content check", ok=True, found=f"{check.ref.id} {check.ref.version}, digest {check.ref.digest[:12]}")


def _thresholds(settings: Settings, entries: tuple[Entry, ...]) -> Check:
    try:
        check_thresholds(settings, entries)
    except CxrdError as error:
        return Check("thresholds", ok=False, found=error.message, todo=error.hint)
    moved = sum(map(len, settings.models.thresholds.values()))
    return Check("thresholds", ok=True, found=f"{moved} chosen by this site")


def _decoders() -> Check:
    if find_spec("gdcm") is not None:
        found = "python-gdcm is installed: one broken file could end a process"
        todo = "pip uninstall python-gdcm; cxrd decodes every transfer syntax without it"
        return Check("decoders", ok=False, found=found, todo=todo)
    try:
        get_context("spawn").Lock()
    except OSError as error:
        found = f"decode processes cannot be started: {error.strerror}"
        return Check("decoders", ok=False, found=found, todo="let the user that runs cxrd write in /dev/shm")
    return Check("decoders", ok=True, found="processes start; no library that aborts them on broken streams")


def _web(settings: Settings) -> Check:
    if settings.web.operators is not None:
        try:
            names = sorted(read_operators(settings.web.operators))
        except ConfigError as error:
            return Check("web access", ok=False, found=error.message, todo=error.hint)
        return Check("web access", ok=True, found=f"by name and password: {', '.join(names)}")
    if settings.web.bind in {"127.0.0.1", "::1", "localhost"}:
        return Check("web access", ok=True, found="from this machine only")
    todo = "name who may see films and act in web.operators, and put TLS before it: elsewhere the page is read only"
    return Check("web access", ok=True, warn=True, found=f"every machine that reaches {settings.web.bind}", todo=todo)


def _dicom_ports(settings: Settings, *, ours: bool) -> Iterator[Check]:
    dicom = settings.dicom
    if dicom.tls is None or not dicom.tls.only:
        yield port("DICOM port", dicom.bind, dicom.port, ours=ours)
    if dicom.tls is not None:
        yield port("DICOM TLS port", dicom.bind, dicom.tls.port, ours=ours)


def _sources(settings: Settings) -> Iterator[Check]:
    if not settings.dicom.sources:
        todo = "name who may send in [[dicom.sources]]: open is right for a bench, wrong for a hospital"
        yield Check("sources", ok=True, warn=True, found="none configured: every caller is accepted", todo=todo)
    for source in settings.dicom.sources:
        unknown = [host for host in source.hosts if not source.resolves(host)]
        yield Check(
            f"source {source.name}",
            ok=not unknown,
            found=f"no address is known for {', '.join(unknown)}" if unknown else f"{source.ae_title} may send",
            todo="correct the name in hosts, or the DNS of this machine: this source is rejected until then",
        )


def _dead(database: Database | None) -> Iterator[Check]:
    if database is None:
        return
    with database.read() as connection:
        dead = sum(n for (_, state), n in views.jobs_by_kind_state(connection).items() if state == JobState.DEAD)
    yield Check(
        "queue",
        ok=True,
        warn=bool(dead),
        found=f"{dead} job(s) gave up" if dead else "no job gave up",
        todo="cxrd studies ls --state failed, cxrd explain UID says why and how to retry or dismiss it",
    )
