"""A role as a child process: settings in, a blocking run, a clean end on SIGTERM.

What a role is made of stands in a module of its own (``service/role_<name>.py``), imported only in the
process that runs it: the listener carries no ONNX Runtime and the models carry no web server.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import current_process
from multiprocessing.connection import Connection
from socket import socket
from threading import Event
from typing import Any

from cxrd import __version__, crashpoints
from cxrd.errors import CxrdError, StoreError
from cxrd.service.reloading import Apply, Follower
from cxrd.settings import Settings
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.store.payload import Payloads, open_payloads
from cxrd.store.schema import JobKind
from cxrd.watch import logs
from cxrd.watch import metrics as m
from cxrd.watch.lifeline import die_with_parent
from cxrd.work.heartbeat import Heartbeat

EXIT_CANNOT_START = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """What every role is built from.

    Attributes
    ----------
    metrics_dir : str
        Where the processes of this node keep their metrics.
    doors : sequence of socket
        Sockets that listen, for the role that takes callers.
    follow : callable
        To be called with what takes up new settings while the role runs.
    ready : callable
        To be called once the role can work: from then on it beats, and the node counts it as there.
    stop : Event
        Set on SIGTERM or SIGINT: claim nothing more, finish what is held, return.
    """

    settings: Settings
    database: Database
    payload: Payloads
    metrics: m.Metrics
    worker_id: str
    metrics_dir: str
    doors: Sequence[socket]
    follow: Callable[[Apply], None]
    ready: Callable[[], None]
    stop: Event


def run_role(  # noqa: PLR0913, PLR0917 - what a process is born with
    settings: Settings,
    role: str,
    worker_id: str,
    restarts: int,
    metrics_dir: str,
    wire: Connection,
    doors: Sequence[socket] = (),
) -> None:
    """Run one role until SIGTERM; the target of a child process.

    Parameters
    ----------
    settings : Settings
        Same value as the supervisor's.
    role : str
        One of ``settings.ROLES``.
    worker_id : str
        Owner that leases are written under.
    restarts : int
        How often this role was started before.
    metrics_dir : str
        Where the processes of this node keep their metrics.
    wire : Connection
        Brings new settings from the supervisor.
    doors : sequence of socket
        Sockets that listen, for the role that takes callers.
    """
    die_with_parent()
    logs.configure(role, json=not sys.stderr.isatty())
    log: Any = logs.logger()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor reads the file, once for all roles
    follower = Follower(wire)
    follower.start()
    m.keep_under(current_process().name)
    metrics = m.Metrics()
    metrics.expect(m.RESTARTS, role=[role])
    if restarts:
        metrics.count(m.RESTARTS, role=role)
    else:
        crashpoints.arm(settings.crash_at, settings.crash_how)
    database = Database(settings.database.url)
    heartbeat = Heartbeat(database, worker_id, settings.work.lease_s, holds_work=role in set(JobKind))

    def ready() -> None:
        with database.write() as connection:
            jobs.register_worker(connection, database.now(connection), worker_id, role=role, version=__version__)
        heartbeat.start()

    try:
        payload = open_payloads(settings.storage)
        parts = Parts(settings, database, payload, metrics, worker_id, metrics_dir, doors, follower.follow, ready, stop)
        import_module(f"cxrd.service.role_{role}").run(parts)
        heartbeat.stop()
        _sign_off(database, worker_id)
    except CxrdError as error:
        log.critical("role cannot work", error=str(error))
        sys.exit(EXIT_CANNOT_START)
    log.info("role left")


def _sign_off(database: Database, worker_id: str) -> None:
    """Leave no row behind: on several hosts nobody would take it for gone before it was silent for long."""
    try:
        with database.write() as connection:
            jobs.forget_worker(connection, worker_id)
    except StoreError as error:  # the next worker that comes forgets it after a day
        log: Any = logs.logger()
        log.warning("the list of workers still names this one", error=str(error))
