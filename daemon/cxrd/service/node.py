"""One node: what must be sound before any role starts, then a supervisor over the roles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from cxrd.errors import ConfigError
from cxrd.service.choosing import adopt, check_thresholds, registered
from cxrd.service.databases import sqlite_file
from cxrd.service.supervisor import Supervisor, only_supervisor
from cxrd.settings import ROLES, Settings
from cxrd.store import jobs
from cxrd.store.database import Database
from cxrd.tls import make_context
from cxrd.watch import logs


def serve(
    settings: Settings,
    read_again: Callable[[], Settings],
    roles: Sequence[str] = ROLES,
    on_start: Callable[[], None] = lambda: None,
) -> None:
    """Run roles under a supervisor until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : Settings
        The frozen configuration.
    read_again : callable
        Reads it anew on SIGHUP.
    roles : sequence of str
        Which of ``listen, infer, build, deliver, fetch, tick, web`` to run here; ``fetch`` only where there is an
        archive.
    on_start : callable
        Called once when every child has been started.

    Raises
    ------
    ConfigError, PackageError, StoreError
        What would keep a role from working is found before any child starts.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise ConfigError(f"unknown role {', '.join(unknown)}", hint=f"roles are {', '.join(ROLES)}")
    logs.configure("supervisor", json=not sys.stderr.isatty())
    if "listen" in roles and settings.dicom.tls is not None:  # a destination's may be repaired while films come in
        make_context(settings.dicom.tls)
    database = Database(settings.database.url)
    file = sqlite_file(settings.database.url)
    if file is None:
        database.check_schema()
        _check_models(settings, database, roles)
        Supervisor(settings, roles, database, read_again).run(on_start)
        return
    with only_supervisor(file.parent):
        database.upgrade()
        _check_models(settings, database, roles)
        with database.write() as connection:  # the last supervisor's children died with it
            jobs.void_leases(connection, database.now(connection))
        Supervisor(settings, roles, database, read_again).run(on_start)


def _check_models(settings: Settings, database: Database, roles: Sequence[str]) -> None:
    """Adopt what the infer role will load, and find what would keep it from that."""
    if "infer" in roles:
        adopt(settings, database)
        check_thresholds(settings, registered(settings))
