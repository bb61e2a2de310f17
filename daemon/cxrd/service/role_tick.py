"""The ``tick`` role: chores on timers."""

from __future__ import annotations

from functools import partial
from typing import Any

from cxrd.delivery import sender
from cxrd.errors import PackageError
from cxrd.inference.manifest import Manifest
from cxrd.inference.packages import find_packages, read_package
from cxrd.inference.reference import Reference, read_reference
from cxrd.intake.adoption import Adoption
from cxrd.service.roles import Parts
from cxrd.settings import Settings
from cxrd.watch.logs import logger
from cxrd.work.drift import Drifting
from cxrd.work.upkeep import Upkeep


def run(parts: Parts) -> None:
    """Run the chores until told to stop."""
    settings = parts.settings
    drifting = Drifting(_references(settings), settings, parts.metrics)
    upkeep = Upkeep(
        parts.database,
        parts.payload,
        settings,
        ask=partial(sender.echo, calling_ae=settings.dicom.ae_title),
        adopt=Adoption(parts.database, parts.payload),
        drifting=drifting,
        metrics=parts.metrics,
    )

    def follow(new: Settings) -> None:
        drifting.follow(new)
        upkeep.follow(new)

    parts.follow(follow)
    parts.ready()
    upkeep.run(parts.stop)


def _references(settings: Settings) -> list[tuple[Manifest, Reference]]:
    """What each package was tested on; nothing on a machine that has no packages, where others judge the films."""
    found = []
    try:
        for folder in find_packages(settings.models.dir, settings.models.enabled):
            manifest, _ = read_package(folder)
            found.append((manifest, read_reference(folder, manifest)))
    except PackageError as error:
        log: Any = logger()
        log.warning("drift is told of the packages before this one only", error=str(error))
    return found
