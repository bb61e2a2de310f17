"""Operating points that a site chose for itself, laid over those of a package.

A package states the points that its validation films support. A hospital with another prevalence, or another
use (screening, worklist), may move them; which ones were in force is part of the configuration digest of each
result.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxrd.errors import ConfigError
from cxrd.inference.manifest import Manifest, ModelClass

Thresholds = Mapping[str, Mapping[str, float]]
"""Model id to class id to operating point, 0..1."""


def check_models(chosen: Thresholds, loaded: list[str]) -> None:
    """Refuse thresholds of models that are not loaded.

    Raises
    ------
    ConfigError
        A typing error must not leave the package's own point in force unseen.
    """
    if unknown := sorted(set(chosen) - set(loaded)):
        raise ConfigError(
            f"models.thresholds names {', '.join(unknown)}, which is not loaded", hint=f"loaded are {', '.join(loaded)}"
        )


def at_site(manifest: Manifest, chosen: Thresholds) -> Manifest:
    """Return the manifest with the site's thresholds.

    Raises
    ------
    ConfigError
        A class that the model does not have, or that it does not report.
    """
    mine = chosen.get(manifest.id, {})
    known = {c.id: c for c in manifest.classes}
    for name in mine:
        if name not in known:
            raise ConfigError(
                f"models.thresholds.{manifest.id}.{name}: the model has no such class",
                hint=f"its classes are {', '.join(known)}",
            )
        if not known[name].reported:
            raise ConfigError(
                f"models.thresholds.{manifest.id}.{name}: the package does not report this class ({known[name].note})",
                hint="remove the line; too few films were there to support any threshold",
            )
    return manifest.model_copy(update={"classes": tuple(_moved(c, mine) for c in manifest.classes)})


def _moved(klass: ModelClass, mine: Mapping[str, float]) -> ModelClass:
    if klass.id not in mine:
        return klass
    note = f"threshold: {mine[klass.id]:g}, chosen by this site instead of {klass.threshold}"
    return klass.model_copy(update={"threshold": mine[klass.id], "note": note})
