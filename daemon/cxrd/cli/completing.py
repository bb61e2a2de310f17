"""What a shell offers for a word that is half typed: names from the configuration, studies from the database.

A completion that cannot read either offers nothing and says nothing: the command itself will tell what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from cxrd.errors import CxrdError
from cxrd.service.databases import existing
from cxrd.settings import Settings, load
from cxrd.store import views

AT_MOST = 50
"""Studies offered: a person types on instead of reading more."""

Offer = tuple[str, str]
"""A word and what stands beside it."""
Completion = Callable[[typer.Context, str], list[Offer]]


def _quiet(offered: Callable[[Settings, str], Iterator[Offer]]) -> Completion:
    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        try:
            settings = load(ctx.params.get("config"))
            return [(word, about) for word, about in offered(settings, incomplete) if word.startswith(incomplete)]
        except (CxrdError, OSError):
            return []

    return complete


@_quiet
def studies(settings: Settings, incomplete: str) -> Iterator[Offer]:
    """Study UIDs and accession numbers, of the newest studies first."""
    with existing(settings.database.url).read() as connection:
        found = views.studies(connection, limit=AT_MOST, wanted=views.Wanted(text=incomplete))
    for row in found:
        yield row.uid, f"{row.accession} {row.state}".strip()
        if row.accession:
            yield row.accession, f"{row.uid} {row.state}"


@_quiet
def destinations(settings: Settings, _incomplete: str) -> Iterator[Offer]:
    """Names of destinations."""
    for one in settings.destinations:
        yield one.name, f"{one.ae_title}@{one.host}:{one.port}"


@_quiet
def archives(settings: Settings, _incomplete: str) -> Iterator[Offer]:
    """Names of archives."""
    for one in settings.archives:
        yield one.name, f"{one.ae_title}@{one.host}:{one.port}"


@_quiet
def sources(settings: Settings, _incomplete: str) -> Iterator[Offer]:
    """Names of sources."""
    for one in settings.dicom.sources:
        yield one.name, one.ae_title


@_quiet
def models(settings: Settings, _incomplete: str) -> Iterator[Offer]:
    """Models that lie here."""
    for model, found in _packages(settings).items():
        yield model, ", ".join(found)


@_quiet
def versions(settings: Settings, _incomplete: str) -> Iterator[Offer]:
    """Versions that lie here, as ``id@version``."""
    for model, found in _packages(settings).items():
        for version in found:
            yield f"{model}@{version}", ""


def _packages(settings: Settings) -> dict[str, dict[str, Path]]:
    from cxrd.inference.packages import shelf  # noqa: PLC0415 - a study is completed without arrays

    return shelf(settings.models.dir)[1]
