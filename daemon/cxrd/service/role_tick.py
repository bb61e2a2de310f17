"""The ``tick`` role: chores on timers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cxrd.delivery import sender
from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Chosen, Stage
from cxrd.inference.manifest import Manifest
from cxrd.inference.reference import Reference, read_reference
from cxrd.intake.adoption import Adoption
from cxrd.service.choosing import chosen, manifests
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.store import packages
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.logs import logger
from cxrd.work.drift import Drifting
from cxrd.work.retention import Retention
from cxrd.work.upkeep import Upkeep


def run(parts: Parts) -> None:
    """Run the chores until told to stop."""
    settings = parts.settings
    drifting = Drifting(References(settings, parts.database), settings, parts.metrics)
    upkeep = Upkeep(
        parts.database,
        parts.payload,
        settings,
        ask=partial(sender.echo, calling_ae=settings.dicom.ae_title),
        adopt=Adoption(parts.database, parts.payload),
        retain=_retention(parts),
        drifting=drifting,
        metrics=parts.metrics,
    )

    def follow(new: Settings) -> None:
        drifting.follow(new)
        upkeep.follow(new)

    parts.follow(follow)
    parts.ready()
    upkeep.run(parts.stop)


def _retention(parts: Parts) -> Callable[[], None]:
    if isinstance(parts.payload, PayloadStore):
        return Retention(parts.database, parts.payload, parts.settings, parts.metrics)
    return lambda: None  # settings refuse what S3 cannot do


class References:
    """What each package that answers was tested on; read anew when another one answers."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._of: tuple[Chosen, ...] = ()
        self._found: list[tuple[Manifest, Reference]] = []

    def __call__(self) -> list[tuple[Manifest, Reference]]:
        """Return them; those of before where a package cannot be read, as on a machine that has none."""
        with self._database.read() as connection:
            entries = packages.entries(connection)
        try:
            wanted = tuple(c for c in chosen(self._settings, entries) if c.stage is Stage.ACTIVE)
            if wanted != self._of:
                self._found = [(x, read_reference(c.folder, x)) for c, x in zip(wanted, manifests(wanted), strict=True)]
                self._of = wanted
        except PackageError as error:
            log: Any = logger()
            log.warning("drift is told of the packages that could be read before", error=str(error))
        return self._found
