"""One child process for each role; a child that dies is started again, and its leases are given back at once.

The supervisor holds no work of its own. A child that lives but has stopped beating (stopped by a signal, stuck in
a driver) is killed, because it may hold a lock or work that nobody else can take. The first SIGTERM or SIGINT
drains: children stop claiming, finish what they hold and leave. A second one, or a drain that takes too long,
kills. When the supervisor itself is killed its children die with it (``die_with_parent``) and the next supervisor
voids their leases.
SIGHUP reads the configuration again (``reloading``).
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, TextIO
from uuid import uuid4

from prometheus_client.multiprocess import mark_process_dead

from cxrd import __version__
from cxrd.errors import ConfigError, CxrdError, StoreError
from cxrd.intake.doors import open_doors
from cxrd.service.choosing import check_thresholds, registered
from cxrd.service.metrics_folder import metrics_folder
from cxrd.service.reloading import check_tls, review, tell
from cxrd.service.roles import run_role
from cxrd.settings import Settings
from cxrd.store import audit, jobs, views
from cxrd.store.audit import What
from cxrd.store.database import Database
from cxrd.watch.logs import logger

DRAIN_S = 30.0
BACKOFF_CAP_S = 30.0
HEALTHY_S = 60.0


@dataclass(slots=True)
class Child:
    """One process of a role and its history."""

    role: str
    number: int = 1
    process: SpawnProcess | None = None
    wire: Connection | None = None
    worker_id: str = ""
    started: float = 0.0
    failures: int = 0
    restarts: int = 0
    due: float = 0.0
    beat: float | None = None
    beat_seen: float = 0.0

    @property
    def name(self) -> str:
        """The role, and from its second process on the number."""
        return self.role if self.number == 1 else f"{self.role}-{self.number}"


class Supervisor:
    """Starts and keeps the roles of one node.

    Parameters
    ----------
    settings : Settings
        The frozen configuration; children get the same value.
    read_again : callable
        Reads the configuration anew on SIGHUP; raises ConfigError.
    roles : sequence of str
        Which roles may run here; one that nothing is configured for starts when something is.
    database : Database
        Where leases of dead children are given back.
    """

    def __init__(
        self, settings: Settings, roles: Sequence[str], database: Database, read_again: Callable[[], Settings]
    ) -> None:
        self._settings = settings
        self._read_again = read_again
        self._database = database
        self._roles = roles
        self._children = self._family(settings)
        self._doors: tuple[socket.socket, ...] = ()
        self._context = multiprocessing.get_context("spawn")
        self._signals = 0
        self._asked_to_reload = False
        self._terminal = os.isatty(0)  # a SIGHUP that takes it away is the end, not a wish to reload
        self._wake_read, self._wake_write = os.pipe()
        self._metrics_dir = ""
        self._log: Any = logger()

    def _family(self, settings: Settings) -> dict[str, Child]:
        several = {"listen": settings.dicom.processes()}
        needed = [role for role in self._roles if role in settings.roles()]
        children = [Child(role, n + 1) for role in needed for n in range(several.get(role, 1))]
        return {child.name: child for child in children}

    def run(self, on_start: Callable[[], None] = lambda: None) -> None:
        """Run until drained."""
        with metrics_folder() as self._metrics_dir:
            self._run(on_start)

    def _run(self, on_start: Callable[[], None]) -> None:
        self._audit(What.CONFIG_LOADED, {"digest": self._settings.fingerprint(), "version": __version__})
        with self._signal_handlers():
            for child in self._children.values():
                self._start(child)
            Thread(target=self._watch, daemon=True, name="watch").start()  # its reads may wait, and reaping may not
            on_start()
            while not self._signals:
                self._tend()
            self._drain()

    def _tend(self) -> None:
        now = monotonic()
        for child in self._children.values():
            if child.process is None and child.due <= now:
                self._start(child)
        running = {c.process.sentinel: c for c in self._children.values() if c.process is not None}
        for ready in wait([*running, self._wake_read], timeout=0.5):
            if ready in running:
                self._ended(running[ready])
            else:
                os.read(self._wake_read, 64)
        if self._asked_to_reload:
            self._asked_to_reload = False
            self._reload()

    def _reload(self) -> None:
        """Take the file as it is now, whole; on any fault every role goes on with what it had."""
        old = self._settings
        try:
            new = self._read_again()
            keys = review(old, new)
            check_tls(new)
            if "infer" in self._children:  # elsewhere there may be no models to compare them with
                check_thresholds(new, registered(new))
            self._tell(old, new)
        except CxrdError as error:
            self._log.error("configuration refused; the old one stays in force", error=str(error))
            self._audit(What.CONFIG_REFUSED, {"digest": old.fingerprint(), "error": str(error)})
            return
        self._settings = new
        self._children = self._family(new) | self._children  # the first archive wants somebody who fetches
        self._log.info("configuration reloaded", changed=keys, digest=new.fingerprint()[:12])
        told = {"digest": new.fingerprint(), "before": old.fingerprint(), "changed": keys}
        self._audit(What.CONFIG_RELOADED, told)

    def _tell(self, old: Settings, new: Settings) -> None:
        told: list[Child] = []
        for child in self._children.values():
            if child.wire is None:
                continue
            told.append(child)
            if fault := tell(child.wire, new):
                for one in told:
                    if one.wire is not None:
                        tell(one.wire, old)
                raise ConfigError(f"role {child.name} did not take it: {fault}")

    def _audit(self, what: What, detail: dict[str, Any]) -> None:
        """Note which configuration is in force; a database that is away must not keep the node from it."""
        actor = audit.actor_on(socket.gethostname())
        try:
            with self._database.write() as connection:
                audit.record(connection, self._database.now(connection), what, audit.CONFIG, detail, actor=actor)
        except StoreError as error:
            self._log.warning("the audit trail does not know the configuration", error=str(error))

    def _watch(self) -> None:
        while not self._signals:
            try:
                with self._database.read() as connection:
                    beats = views.last_beat_by_worker(connection)
                self._kill_silent(beats, monotonic())
            except StoreError as error:  # children that cannot beat leave by their own watchdog
                self._log.warning("nobody watches the roles", error=str(error))
            sleep(min(1.0, self._settings.work.lease_s / 8))

    def _kill_silent(self, beats: Mapping[str, float], now: float) -> None:
        """Kill children whose beat has not changed for a lease; one that has not begun to beat is still starting.

        Parameters
        ----------
        beats : Mapping from worker id to float
            Last beat, by whatever clock; only whether it changes counts.
        now : float
            Seconds of the monotonic clock.
        """
        for child in self._children.values():
            process, beat = child.process, beats.get(child.worker_id)
            if beat is None or beat != child.beat:
                child.beat, child.beat_seen = beat, now
            elif process is not None and now - child.beat_seen > self._settings.work.lease_s:
                self._log.error("role has not beaten for a lease and is killed", silent=child.name, pid=process.pid)
                process.kill()
                child.beat_seen = now

    def _start(self, child: Child) -> None:
        if child.role == "listen" and not self._doors:
            try:
                self._doors = open_doors(self._settings.dicom)
            except StoreError as error:
                self._log.error("nobody can call", error=str(error))
                self._later(child)
                return
        child.worker_id = f"{child.role}@{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        child.wire, theirs = self._context.Pipe()
        settings = self._settings if child.number == 1 else self._settings.model_copy(update={"crash_at": ""})
        doors = self._doors if child.role == "listen" else ()
        told = (settings, child.role, child.worker_id, child.restarts, self._metrics_dir, theirs, doors)
        process = self._context.Process(target=run_role, args=told, name=f"cxrd-{child.name}")
        process.start()
        theirs.close()
        child.process, child.started = process, monotonic()
        self._log.info("role started", started=child.name, pid=process.pid)

    def _ended(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        process.join()
        code = process.exitcode
        mark_process_dead(process.name, self._metrics_dir)  # type: ignore[no-untyped-call]  # see metrics.keep_under
        child.process = child.wire = None
        if monotonic() - child.started > HEALTHY_S:
            child.failures = -1
        child.restarts += 1
        pause = self._later(child)
        self._log.error("role ended; it will be started again", ended=child.name, code=code, again_in_s=round(pause, 1))
        self._give_back(child.worker_id)

    def _later(self, child: Child) -> float:
        """Start a child again after a pause (seconds) that grows with its failures in a row."""
        child.failures += 1
        pause = min(BACKOFF_CAP_S, 0.1 * 2.0 ** (child.failures - 1)) if child.failures else 0.0
        child.due = monotonic() + pause
        return pause

    def _give_back(self, worker_id: str) -> None:
        """Void a dead child's leases now instead of at their end."""
        try:
            with self._database.write() as connection:
                jobs.reap(
                    connection,
                    self._database.now(connection),
                    max_crashes=self._settings.work.max_crashes,
                    dead_owners=[worker_id],
                )
        except StoreError as error:
            self._log.warning("leases of the dead child end by themselves", error=str(error))

    def _drain(self) -> None:
        self._log.info("draining: no new work is claimed")
        asked = self._signals
        for door in self._doors:
            door.close()
        running = [c.process for c in self._children.values() if c.process is not None]
        for process in running:
            process.terminate()
        deadline = monotonic() + DRAIN_S
        while any(p.is_alive() for p in running) and monotonic() < deadline and self._signals == asked:
            wait([p.sentinel for p in running if p.is_alive()], timeout=0.5)
        for process in running:
            if process.is_alive():
                self._log.warning("a role did not leave in time and is killed", process=process.name)
                process.kill()
            process.join()

    def _signal_handlers(self) -> _Handlers:
        def note(number: int, _frame: object) -> None:
            if number == signal.SIGHUP and self._terminal == os.isatty(0):
                self._asked_to_reload = True
            else:
                self._signals += 1
            os.write(self._wake_write, b"!")

        return _Handlers(note)


class _Handlers:
    """Signal handlers that are put back on leaving."""

    def __init__(self, handler: Callable[[int, object], None]) -> None:
        self._handler = handler
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handler)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def only_supervisor(folder: Path) -> TextIO:
    """Hold the lock that lets one supervisor at a time work on an embedded database.

    Parameters
    ----------
    folder : Path
        Directory of the SQLite file.

    Returns
    -------
    file
        Keep it open; the lock dies with this process.

    Raises
    ------
    ConfigError
        Another supervisor holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "cxrd.supervisor.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigError(
            f"another cxrd serves the database in {folder}",
            hint="stop it first, or move to PostgreSQL to work with several supervisors",
        ) from None
    return lock
