"""Find model packages, and refuse the ones that are not what their manifest says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from pydantic import ValidationError

import cxrd
from cxrd.errors import PackageError
from cxrd.inference.manifest import MANIFEST, SCHEMA_VERSION, Manifest

AGAIN = "fetch the package again, or export it again"
PAPERS = frozenset({".md", ".txt", ".json", ".csv", ".png", ".svg", ".html", ".pdf"})
"""Suffixes that ONNX Runtime never opens."""


def starter_folder() -> Path:
    """Return where the starter packages lie: in a checkout, else in the environment's shared data."""
    checkout = Path(cxrd.__file__).resolve().parents[2] / "models" / "starter"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "cxrd" / "models"


def find_packages(folder: Path | None, enabled: Sequence[str] = ()) -> list[Path]:
    """List the packages to load, one for each model id.

    Parameters
    ----------
    folder : Path or None
        Holds ``<id>/<version>/``; None takes the starter packages.
    enabled : sequence of str
        ``id`` (its highest version) or ``id@version``; empty takes every id.

    Returns
    -------
    list of Path
        Package folders in the order of ``enabled``, or of ids. Nothing is read yet: see :func:`read_package`.

    Raises
    ------
    PackageError
        The folder holds no package, or not one that was asked for, or one id was asked for twice.
    """
    root = folder or starter_folder()
    there: dict[str, dict[str, Path]] = {}
    for found in root.glob(f"*/*/{MANIFEST}"):
        version = found.parent.name
        if not version.startswith("."):  # an export that did not finish
            there.setdefault(found.parents[1].name, {})[version] = found.parent
    if not there:
        raise PackageError(f"no model package in {root}", hint="set models.dir to a folder of <id>/<version>/ packages")
    wanted = enabled or sorted(there)
    ids = [name.partition("@")[0] for name in wanted]
    doubled = sorted({i for i in ids if ids.count(i) > 1})
    if doubled:
        raise PackageError(
            f"models.enabled names {', '.join(doubled)} twice",
            hint="one version of a model answers at a time; keep one",
        )
    return [_pick(name, there, root) for name in wanted]


def _pick(name: str, there: dict[str, dict[str, Path]], root: Path) -> Path:
    model, _, version = name.partition("@")
    versions = there.get(model, {})
    if not version and versions:
        version = max(versions, key=_order)
    picked = versions.get(version)
    if picked is None:
        known = ", ".join(f"{p.parent.name}@{p.name}" for v in there.values() for p in v.values())
        raise PackageError(f"no package {name} in {root}", hint=f"there are {known}")
    return picked


def _order(version: str) -> tuple[int, ...]:
    """Sort key of a version; what is no version sorts first."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (-1,)


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
    manifest, digest = _read_manifest(folder)
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


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
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
