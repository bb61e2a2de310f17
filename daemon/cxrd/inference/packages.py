"""Find model packages, and refuse the ones that are not what their manifest says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

import cxrd
from cxrd.errors import PackageError
from cxrd.inference.manifest import MANIFEST, Manifest


def starter_folder() -> Path:
    """Folder of the packages that come with cxrd: a checkout's own, else the environment's shared data."""
    checkout = Path(cxrd.__file__).resolve().parents[2] / "models" / "starter"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "cxrd" / "models"


def find_packages(folder: Path | None, enabled: Sequence[str] = ()) -> list[Path]:
    """Packages to load, one for each model id, in the order of ids.

    Parameters
    ----------
    folder : Path or None
        Holds ``<id>/<version>/``; None takes the starter packages.
    enabled : sequence of str
        ``id`` (its highest version) or ``id@version``; empty takes every id.

    Raises
    ------
    PackageError
        The folder holds no package, or not one that was asked for.
    """
    root = folder or starter_folder()
    there: dict[str, dict[tuple[int, ...], Path]] = {}
    for found in root.glob(f"*/*/{MANIFEST}"):
        version = found.parent.name
        if not version.startswith("."):   # an export that did not finish
            there.setdefault(found.parents[1].name, {})[_order(version)] = found.parent
    if not there:
        raise PackageError(f"no model package in {root}", hint="set models.dir to a folder of <id>/<version>/ packages")
    wanted = enabled or sorted(there)
    return [_pick(name, there, root) for name in wanted]


def _pick(name: str, there: dict[str, dict[tuple[int, ...], Path]], root: Path) -> Path:
    model, _, version = name.partition("@")
    versions = there.get(model, {})
    picked = versions.get(_order(version)) if version else versions[max(versions)] if versions else None
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
    hint = "fetch the package again, or export it again"
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        raise PackageError(f"{folder} has no readable {MANIFEST}: {error.strerror}", hint=hint) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PackageError(f"{folder / MANIFEST} is not valid: {faults}", hint=hint) from None
    if (manifest.id, manifest.version) != (folder.parent.name, folder.name):
        raise PackageError(
            f"{folder} holds {manifest.id} {manifest.version}", hint="a package lies in <id>/<version>/; move it there"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise PackageError(f"{manifest.id} {manifest.version}: {name} is missing", hint=hint)
        if sha256(path.read_bytes()).hexdigest() != expected:
            raise PackageError(f"{manifest.id} {manifest.version}: {name} is not the file of the manifest", hint=hint)
    return manifest, sha256(text).hexdigest()
