"""Which packages this node should load: the configuration's pins, then the database's stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Chosen, Entry, Stage
from cxrd.inference.manifest import Manifest
from cxrd.inference.packages import choose, read_package
from cxrd.inference.thresholds import at_site, check_models
from cxrd.service.databases import sqlite_file
from cxrd.settings import Settings
from cxrd.store import packages
from cxrd.store.database import Database


def registered(settings: Settings) -> tuple[Entry, ...]:
    """What the database knows of versions; nothing before there is one.

    Raises
    ------
    StoreError
        It does not answer, or its schema is another version's.
    """
    file = sqlite_file(settings.database.url)
    if file is not None and not file.exists():
        return ()
    database = Database(settings.database.url)
    try:
        database.check_schema()
        with database.read() as connection:
            return packages.entries(connection)
    finally:
        database.dispose()


def chosen(settings: Settings, entries: Sequence[Entry]) -> tuple[Chosen, ...]:
    """What this node should load.

    Raises
    ------
    PackageError
        As :func:`cxrd.inference.packages.choose`, and where nothing would answer.
    """
    found = choose(settings.models.dir, settings.models.enabled, entries)
    if not any(one.stage is Stage.ACTIVE for one in found):
        raise PackageError(
            "no model is active", hint="cxrd models ls shows what there is, cxrd models promote sets one"
        )
    return found


def adopt(settings: Settings, database: Database) -> None:
    """Make what answers known to the database where it is not, so that from now on only a promotion replaces it.

    Raises
    ------
    PackageError
        A package is not intact.
    """
    with database.read() as connection:
        entries = packages.entries(connection)
    new = [c for c in choose(settings.models.dir, settings.models.enabled, entries) if not c.digest and not c.pinned]
    if not new:
        return
    digests = {(c.model, c.version): read_package(c.folder)[1] for c in new}
    with database.write() as connection:
        now = database.now(connection)
        packages.adopt(connection, now, digests)
        if settings.models.dir is None:
            for (model, version), digest in digests.items():
                packages.follow_release(connection, now, model, version, digest)


def there(wanted: Chosen) -> None:
    """Refuse a package that is not on this host.

    Raises
    ------
    PackageError
        With its stage and where it should lie.
    """
    if not wanted.folder.is_dir():
        raise PackageError(
            f"{wanted.name} is {wanted.stage} and not in {wanted.folder.parents[1]}",
            hint="put it back, or promote a version that is there: cxrd models ls",
        )


def confirm(wanted: Chosen, digest: str) -> None:
    """Refuse a package that is another one under the same number.

    Raises
    ------
    PackageError
        With both digests.
    """
    if wanted.digest not in ("", digest):
        raise PackageError(
            f"{wanted.name} in {wanted.folder.parents[1]} has digest {digest[:12]}, "
            f"the {wanted.stage} one has {wanted.digest[:12]}",
            hint="bring the package from the host on which it was added",
        )


def manifests(wanted: Sequence[Chosen]) -> Iterator[Manifest]:
    """Manifests of the packages that answer, each checked.

    Raises
    ------
    PackageError
        One is not there, not intact, or another one under the same number.
    """
    for one in wanted:
        if one.stage is Stage.ACTIVE:
            there(one)
            manifest, digest = read_package(one.folder)
            confirm(one, digest)
            yield manifest


def check_thresholds(settings: Settings, entries: Sequence[Entry]) -> None:
    """Refuse packages that are not intact, and thresholds that fit none of them.

    Raises
    ------
    ConfigError, PackageError
        Which model or class, and what there is.
    """
    found = list(manifests(chosen(settings, entries)))
    check_models(settings.models.thresholds, [manifest.id for manifest in found])
    for manifest in found:
        at_site(manifest, settings.models.thresholds)
