"""Find model packages, and refuse the ones that are not what their manifest says."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from pydantic import ValidationError

import cxrd
from cxrd.errors import PackageError
from cxrd.inference.lifecycle import Chosen, Entry, Stage
from cxrd.inference.manifest import MANIFEST, SCHEMA_VERSION, Manifest

AGAIN = "fetch the package again, or export it again"
PAPERS = frozenset({".md", ".txt", ".json", ".csv", ".png", ".svg", ".html", ".pdf"})
"""Suffixes that ONNX Runtime never opens."""


def starter_folder() -> Path:
    """Return where the starter packages lie: in a checkout, else in the environment's shared data."""
    checkout = Path(cxrd.__file__).resolve().parents[2] / "models" / "starter"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "cxrd" / "models"


def shelf(folder: Path | None) -> tuple[Path, dict[str, dict[str, Path]]]:
    """List what lies in a folder of packages; nothing is read yet: see :func:`read_package`.

    Parameters
    ----------
    folder : Path or None
        Holds ``<id>/<version>/``; None takes the starter packages.

    Returns
    -------
    Path and dict
        The folder, and package folders by id and version.

    Raises
    ------
    PackageError
        The folder holds no package.
    """
    root = folder or starter_folder()
    there: dict[str, dict[str, Path]] = {}
    for found in root.glob(f"*/*/{MANIFEST}"):
        version = found.parent.name
        if not version.startswith("."):  # an export that did not finish
            there.setdefault(found.parents[1].name, {})[version] = found.parent
    if not there:
        raise PackageError(f"no model package in {root}", hint="set models.dir to a folder of <id>/<version>/ packages")
    return root, there


def order(version: str) -> tuple[int, ...]:
    """Sort key of a version; what is no version sorts first."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (-1,)


def choose(folder: Path | None, enabled: Sequence[str] = (), entries: Sequence[Entry] = ()) -> tuple[Chosen, ...]:
    """Choose the packages to load: at most one that answers for each model, and its shadow.

    Parameters
    ----------
    folder : Path or None
        ``models.dir``. None takes the starter packages: they come and go with a release, so an active version that
        is not among them gives way to the one that is.
    enabled : sequence of str
        ``id`` or ``id@version``; empty takes every id.
    entries : sequence of Entry
        What the database knows.

    Returns
    -------
    tuple of Chosen
        In the order of ``enabled``, or of ids; a shadow stands behind the one that answers. A folder may not be there:
        loading says so.

    Raises
    ------
    PackageError
        No package at all, one that was asked for and is unknown, or an id asked for twice.
    """
    root, there = shelf(folder)
    known = [e for e in entries if folder is not None or e.version in there.get(e.model, {})]
    wanted = [name.partition("@") for name in enabled or _ids(there, known)]
    ids = [model for model, _, _ in wanted]
    if doubled := sorted({i for i in ids if ids.count(i) > 1}):
        raise PackageError(
            f"models.enabled names {', '.join(doubled)} twice",
            hint="one version of a model answers at a time; keep one",
        )
    found: list[Chosen] = []
    for model, at, pin in wanted:
        mine = {e.stage: e for e in known if e.model == model}
        versions = there.get(model, {})
        if (at and pin not in versions) or not (versions or mine):
            names = ", ".join(f"{m}@{v}" for m, by in sorted(there.items()) for v in sorted(by, key=order))
            raise PackageError(f"no package {model}{at}{pin} in {root}", hint=f"there are {names}")
        answers = _answers(pin, mine, versions)
        shadow = mine.get(Stage.SHADOW)
        for stage, version, digest in (
            *([(Stage.ACTIVE, *answers)] if answers else []),
            *([(Stage.SHADOW, shadow.version, shadow.digest)] if shadow and shadow.version != pin else []),
        ):
            pinned = bool(pin) and stage is Stage.ACTIVE
            found.append(Chosen(model, version, root / model / version, stage, digest, pinned))
    return tuple(found)


def _ids(there: Mapping[str, object], known: Sequence[Entry]) -> list[str]:
    """Every model, one whose files are gone while it should answer too: that must be noticed."""
    return sorted(there.keys() | {e.model for e in known if e.stage is Stage.ACTIVE})


def _answers(pin: str, mine: Mapping[Stage, Entry], versions: Mapping[str, Path]) -> tuple[str, str] | None:
    """Version and digest that answer for a model; None where it is known and none of it is active."""
    if pin:
        return pin, ""
    if Stage.ACTIVE in mine:
        return mine[Stage.ACTIVE].version, mine[Stage.ACTIVE].digest
    return None if mine else (max(versions, key=order), "")


def read_package(folder: Path) -> tuple[Manifest, str]:
    """Read and check one package.

    Returns
    -------
    Manifest and str
        The manifest, and the package's digest: sha256 (hex) of ``manifest.json``.

    Raises
    ------
    PackageError
        No manifest, a manifest that is not valid, a file that is missing or altered.
    """
    folder = folder.absolute()  # "." has no name
    manifest, digest = read_manifest(folder)
    if (manifest.id, manifest.version) != (folder.parent.name, folder.name):
        raise PackageError(
            f"{folder} holds {manifest.id} {manifest.version}",
            hint="a package lies in <id>/<version>/; move it there",
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise PackageError(f"{manifest.id} {manifest.version}: {name} is missing", hint=AGAIN)
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise PackageError(f"{manifest.id} {manifest.version}: {name} is not the file of the manifest", hint=AGAIN)
    strangers = _strangers(folder, manifest)
    if strangers:
        raise PackageError(
            f"{manifest.id} {manifest.version}: the manifest does not name {', '.join(strangers)}",
            hint="what has no digest is not trusted; remove it, or export the package again",
        )
    return manifest, digest


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read a package's manifest, and no other file of it.

    Returns
    -------
    Manifest and str
        The manifest and its sha256 (hex).

    Raises
    ------
    PackageError
        There is none, or it is not valid.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        raise PackageError(f"{folder} has no readable {MANIFEST}: {error.strerror}", hint=AGAIN) from error
    except ValidationError as error:
        found = error.errors()
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)
        newer = any(e["loc"] == ("schema_version",) for e in found)
        hint = f"this cxrd reads schema {SCHEMA_VERSION}; use a matching release" if newer else AGAIN
        raise PackageError(f"{folder / MANIFEST} is not valid: {faults}", hint=hint) from None
    return manifest, sha256(text).hexdigest()


def _strangers(folder: Path, manifest: Manifest) -> list[str]:
    """List files that a graph could draw weights from and no digest covers; papers may lie beside a graph."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() not in PAPERS)
    names = {path.relative_to(folder).as_posix() for path in files if not path.name.startswith(".")}
    return sorted(names - manifest.files.keys())
