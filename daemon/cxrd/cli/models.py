"""``cxrd models``: versions of models, from a folder on disk to the one that answers, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxrd.cli import completing, printing
from cxrd.cli.node import Config, Json
from cxrd.errors import ConfigError
from cxrd.settings import Settings, load

if TYPE_CHECKING:
    from cxrd.inference.promotion import Requirement
    from cxrd.service.registry import Registry

models = typer.Typer(
    help="Model packages: which answer, which look on, which may never come back.", no_args_is_help=True
)
Version = Annotated[
    str,
    typer.Argument(
        metavar="ID@VERSION", help="A version of a model, e.g. charm@1.1.0.", autocompletion=completing.versions
    ),
]
Model = Annotated[str, typer.Argument(metavar="ID", help="A model, e.g. charm.", autocompletion=completing.models)]
Reason = Annotated[str, typer.Option(help="Why; stands in the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.add_typer(models, name="models")


def _registry(settings: Settings) -> Registry:
    from cxrd.demo.samples import samples  # noqa: PLC0415 - `cxrd studies ls` should not pay for models
    from cxrd.service.registry import Registry  # noqa: PLC0415 - as above

    return Registry(settings, samples("cxrd models", rows=512)["opacity"])


@models.command("ls")
def ls(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag is what typer makes of it
    """List every version that lies here or is known: its stage, where it runs, for whom it is, how good it was.

    Example: cxrd models ls
    """
    from cxrd.service.choosing import registered  # noqa: PLC0415 - as above

    settings = load(config)
    registry, entries = _registry(settings), registered(settings)
    found = registry.rows(entries, registry.running() if entries else {})
    if not as_json:
        found = [{**row, "digest": row["digest"][:12]} for row in found]
    empty = {name for name in ("provider", "fault") if not any(row[name] for row in found)}
    columns = ("id", "version", "stage", "digest", "provider", "intended_use", "metrics", "fault")
    shown = tuple(name for name in columns if name not in empty)  # a terminal is narrow
    printing.rows("Model packages", shown, found, as_json=as_json)


@models.command("add")
def add(
    path: Annotated[Path, typer.Argument(help="Package folder that cxrd export wrote.", exists=True, file_okay=False)],
    config: Config = None,
) -> None:
    """Copy a package into models.dir, whole and verified, and make it known; nothing answers differently yet.

    Example: cxrd models add runs/packages/charm/1.2.0
    """
    with printing.progress() as bar:
        bar.add_task(f"copying and verifying {path}", total=None)
        name, digest, new = _registry(load(config)).add(path)
    what = "is added" if new else "is here already, with the same bytes"
    typer.echo(
        f"{name.model}@{name.version} {digest[:12]} {what}; next: cxrd models shadow {name.model}@{name.version}"
    )


@models.command("verify")
def verify(
    package: Annotated[
        str,
        typer.Argument(
            metavar="PATH|ID@VERSION",
            help="Package folder, or a version in models.dir.",
            autocompletion=completing.versions,
        ),
    ],
    config: Config = None,
) -> None:
    """Check one package: schema, every digest, the graph's inputs and outputs, a phantom film up to its report.

    Example: cxrd models verify models/starter/charm/1.1.0
    """
    from cxrd.inference.packages import shelf  # noqa: PLC0415 - as above
    from cxrd.service.registry import Named  # noqa: PLC0415 - as above

    settings = load(config)
    folder = Path(package)
    if not folder.is_dir():
        name = Named.of(package)
        folder = shelf(settings.models.dir)[0] / name.model / name.version
    with printing.progress() as bar:
        bar.add_task(f"verifying {folder}", total=None)
        classifier = _registry(settings).verify(folder)
    ref = classifier.ref
    typer.echo(
        f"{ref.id} {ref.version} {ref.digest[:12]} runs on {classifier.provider}; a phantom film became a report"
    )


@models.command("shadow")
def shadow(
    version: Version,
    config: Config = None,
    off: Annotated[bool, typer.Option("--off", help="Let it look on no longer.")] = False,  # noqa: FBT002 - as above
) -> None:
    """Let a version judge every film beside the one that answers; reports never hold what it says.

    Example: cxrd models shadow charm@1.2.0
    """
    from cxrd.service.registry import Named  # noqa: PLC0415 - as above

    name = Named.of(version)
    registry = _registry(load(config))
    if off:
        registry.unshadow(name.model)
        typer.echo(f"{version} looks on no longer")
    else:
        registry.shadow(name)
        typer.echo(f"{version} looks on; cxrd models compare {name.model} shows how it does")


@models.command("compare")
def compare(
    model: Model,
    config: Config = None,
    version: Annotated[str, typer.Option(help="A version that looked on before; else the one that does.")] = "",
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Compare the version that looks on with the one that answers: agreement, scores, positive rates, by finding.

    Example: cxrd models compare charm
    """
    from cxrd.service.registry import as_rows  # noqa: PLC0415 - as above

    active, looks_on, found, total = _registry(load(config)).compare(model, version)
    title = f"{looks_on.version} (shadow) against {active.version} (active), {total.films} film(s)"
    shown = ("finding", "films", "agreement", "active_positive", "shadow_positive", "shift", "apart")
    lines = as_rows(found)
    if not as_json:
        digits = ("active_positive", "shadow_positive", "shift", "apart", "agreement")
        lines = [{**row, **{k: None if row[k] is None else f"{row[k]:.3f}" for k in digits}} for row in lines]
    printing.rows(title, shown, lines, as_json=as_json)
    if not as_json:
        typer.echo("nothing to compare yet" if total.share is None else f"{total.share:.1%} of {total.answers} agree")


@models.command("promote")
def promote(  # noqa: PLR0913 - one argument for each option of the command
    version: Version,
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overrule the gate; needs --reason.")] = False,
    reason: Reason = "",
    active_predictions: Annotated[
        Path | None,
        typer.Option(help="predictions.csv of the active version on this one's test films (cxrd evaluate)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a version answer in the place of the active one, if the gate opens; workers follow within seconds.

    The gate asks for an evaluation with intervals, for every class that is reported now, for areas that are not
    worse on the same test films, and, of a version that looked on, for enough films and agreement.
    Exit code 1: it stays closed.

    Example: cxrd models promote charm@1.2.0
    """
    from cxrd.inference.promotion import met  # noqa: PLC0415 - as above
    from cxrd.service.registry import Named  # noqa: PLC0415 - as above

    if force and not reason:
        raise ConfigError("--force needs --reason", hint="one sentence for whoever asks later")
    name, registry = Named.of(version), _registry(load(config))
    found = registry.gate(name, active_predictions)
    _print_gate(version, found, as_json=as_json)
    if dry_run:
        raise typer.Exit(int(not met(found)))
    registry.promote(name, found, reason=reason, force=force)
    typer.echo(f"{version} answers from now on; back: cxrd models rollback {name.model}", err=as_json)


@models.command("rollback")
def rollback(model: Model, config: Config = None, reason: Reason = "") -> None:
    """Let the version answer again that the active one replaced.

    Example: cxrd models rollback charm --reason "too many effusions"
    """
    before, now = _registry(load(config)).roll_back(model, reason)
    typer.echo(f"{model}@{now} answers again in the place of {before}")


@models.command("retire")
def retire(
    version: Version,
    config: Config = None,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Also the active one: the model leaves service.")] = False,  # noqa: FBT002 - as above
) -> None:
    """Never load a version again; its files stay, because old reports name it.

    Example: cxrd models retire charm@1.0.0 --reason "replaced"
    """
    from cxrd.service.registry import Named  # noqa: PLC0415 - as above

    if force and not reason:
        raise ConfigError("--force needs --reason", hint="one sentence for whoever asks later")
    _registry(load(config)).retire(Named.of(version), reason, force=force)
    typer.echo(f"{version} is retired")


def _print_gate(version: str, found: list[Requirement], *, as_json: bool) -> None:
    lines = [{**r._asdict(), "state": "ok" if r.ok else "no", "todo": "" if r.ok else r.todo} for r in found]
    printing.rows(f"May {version} answer?", ("state", "name", "found", "todo"), lines, as_json=as_json)
