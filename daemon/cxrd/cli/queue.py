"""Commands over studies and over the queue that carries them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from cxrd.cli import completing, printing
from cxrd.cli.node import Config, Json
from cxrd.errors import ConfigError, CxrdError
from cxrd.service.databases import existing
from cxrd.settings import Settings, load
from cxrd.store import interventions, lanes, views
from cxrd.store.schema import JobKind, JobState

studies = typer.Typer(help="Studies and what became of them.", no_args_is_help=True)
queue = typer.Typer(help="Work that waits, and destinations that are left alone.", no_args_is_help=True)
Study = Annotated[
    str, typer.Argument(help="Study Instance UID or accession number.", autocompletion=completing.studies)
]
Lane = Annotated[str, typer.Argument(help="Name of a destination.", autocompletion=completing.destinations)]
OnlyKind = Annotated[JobKind | None, typer.Option("--kind", help="Only jobs of this stage.")]
OnlyLane = Annotated[
    str | None,
    typer.Option("--destination", help="Only jobs of this destination.", autocompletion=completing.destinations),
]

OPERATOR = "operator"
ONLY_DEAD = "only dead jobs can be dismissed: cxrd queue show --state dead; cxrd queue cancel stops one that waits"
JOB = ("id", "kind", "lane", "state", "study_uid", "attempts", "crashes", "due", "err")


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.add_typer(studies, name="studies")
    app.add_typer(queue, name="queue")


@studies.command("ls")
def ls(  # noqa: PLR0913 - one argument for each option of the command
    config: Config = None,
    *,
    state: Annotated[str, typer.Option(help="Only studies in this state.")] = "",
    source: Annotated[
        str, typer.Option(help="Only studies that this source sent.", autocompletion=completing.sources)
    ] = "",
    text: Annotated[str, typer.Option(help="Only those with this in the study UID or accession number.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Newest image then or later, local time."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 50,
    after: Annotated[str, typer.Option(help="Go on behind a study: its place, as the last page names it.")] = "",
    as_json: Json = False,
) -> None:
    """List studies, newest first.

    Example: cxrd studies ls --state failed --since 2026-01-31
    """
    begin = since.timestamp() if since else 0.0
    wanted = views.Wanted(state=state, source=source, text=text, after=after, since=begin)
    with existing(load(config).database.url).read() as connection:
        studies_found = views.studies(connection, limit=limit, wanted=wanted)
    shown = ("uid", "accession", "state", "source", "last_image", "reason")
    lines = [{**asdict(row), "place": row.place, "last_image": printing.clock(row.last_at)} for row in studies_found]
    printing.rows("Studies", shown, lines, as_json=as_json)
    if len(lines) == limit and not as_json:
        typer.echo(f"there may be more: --after {lines[-1]['place']}", err=True)


@studies.command("show")
def show(study: Study, config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Show one study: its images and why any was refused, findings, objects, deliveries, audit trail.

    Example: cxrd studies show 1.2.840.113619.2.1
    """
    with existing(load(config).database.url).read() as connection:
        found = views.study(connection, study)
    if found is None:
        raise CxrdError(f"no study {study} has been received", hint="cxrd studies ls shows what has")
    plain = asdict(found)
    if as_json:
        typer.echo(json.dumps(plain, default=str, ensure_ascii=False))
        return
    for name, value in plain.items():
        if isinstance(value, list | tuple) and value:
            printing.rows(name, tuple(value[0]), value, as_json=False)
        elif value not in (None, "", (), []):
            typer.echo(f"{name}: {printing.clock(value) if name.endswith('_at') else value}")


@studies.command("requeue")
def requeue(study: Study, config: Config = None) -> None:
    """Work on a study again: revive its dead and dismissed jobs, or analyse it anew.

    Example: cxrd studies requeue 1.2.840.113619.2.1
    """
    database = existing(load(config).database.url)
    with database.write() as connection:
        uid = views.study_uid(connection, study)
        if uid is None:
            raise CxrdError(f"no study {study} has been received", hint="cxrd studies ls shows what has")
        count = interventions.requeue(connection, database.now(connection), study_uid=uid, actor=OPERATOR)
    if not count:
        raise CxrdError(f"study {study} is being worked on", hint="wait for its end, then ask again")
    typer.echo(f"{count} job(s) are ready again")


@queue.command("ls")
def depths(config: Config = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Count jobs by state, for each stage and destination, and tell which are paused or closed.

    Example: cxrd queue ls
    """
    settings = load(config)
    with existing(settings.database.url).read() as connection:
        found = [asdict(row) for row in views.queue(connection)]
    if not as_json:
        found = [{**row, **{k: printing.clock(row[k]) for k in ("oldest_due", "closed_until")}} for row in found]
    shown = ("kind", "lane", "delayed", "ready", "leased", "dead", "dismissed", "oldest_due", "paused", "closed_until")
    printing.rows("Queue", shown, found, as_json=as_json)


@queue.command("show")
def jobs_of(
    config: Config = None,
    kind: OnlyKind = None,
    destination: OnlyLane = None,
    state: Annotated[
        JobState | None,
        typer.Option(help="Only jobs in this state; without it all that are neither done nor dismissed."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the longest due first.")] = 50,
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """List jobs one by one: of which study, how often tried, when due, and what went wrong.

    Example: cxrd queue show --state dead
    """
    with existing(load(config).database.url).read() as connection:
        found = views.jobs(connection, kind=kind, lane=destination, state=state, limit=limit)
    shown = found if as_json else [{**row, "due": printing.clock(row["due"])} for row in found]
    printing.rows("Jobs", JOB, shown, as_json=as_json)


@queue.command("retry")
def retry(
    jobs: Annotated[
        list[int] | None, typer.Argument(metavar="[JOB]...", help="Ids, as cxrd queue show lists them.")
    ] = None,
    config: Config = None,
    kind: OnlyKind = None,
    destination: OnlyLane = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job that failed.")] = False,  # noqa: FBT002 - as above
    as_json: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Try at once what is dead, or waits because it failed; what it waited for may have been repaired.

    What was dismissed is tried again only when it is named by its id.

    Example: cxrd queue retry --destination archive
    """
    if not (jobs or kind or destination or everything):
        raise ConfigError("nothing says which jobs", hint="ids, --kind, --destination or --all")
    database = existing(load(config).database.url)
    with database.write() as connection:
        now = database.now(connection)
        rows = interventions.retry(connection, now, actor=OPERATOR, ids=jobs or (), kind=kind, lane=destination)
    found = [{name: row._mapping[name] for name in JOB} for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
    if as_json:
        printing.rows("Jobs", JOB, found, as_json=True)
    else:
        typer.echo(f"{len(found)} job(s) are tried again")
    if not found and jobs:
        raise CxrdError("none of these jobs has failed", hint="cxrd queue show --state dead")


@queue.command("dismiss")
def dismiss(
    jobs: Annotated[
        list[int] | None, typer.Argument(metavar="[JOB]...", help="Ids of dead jobs, as cxrd queue show lists them.")
    ] = None,
    config: Config = None,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail; nothing about a patient.")],
    study: Annotated[
        str | None,
        typer.Option(help="Dead jobs of this study: UID or accession number.", autocompletion=completing.studies),
    ] = None,
    destination: OnlyLane = None,
    as_json: Json = False,
) -> None:
    """Wait no more for dead jobs that nobody will repair: no alert tells of them, and they are never called done.

    Their studies end as dismissed. cxrd queue retry JOB and cxrd studies requeue revive them.

    Example: cxrd queue dismiss 4711 --reason "the PACS refuses it; reported by hand"
    """
    if not (jobs or study or destination):
        raise ConfigError("nothing says which jobs", hint="ids, --study or --destination")
    database = existing(load(config).database.url)
    with database.write() as connection:
        uid = views.study_uid(connection, study) if study else None
        if study and uid is None:
            raise CxrdError(f"no study {study} has been received", hint="cxrd studies ls shows what has")
        now = database.now(connection)
        rows = interventions.dismiss(
            connection, now, actor=OPERATOR, reason=reason, ids=jobs or (), study_uid=uid, lane=destination
        )
    found = [{name: row._mapping[name] for name in JOB} for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
    if as_json:
        printing.rows("Jobs", JOB, found, as_json=True)
    else:
        typer.echo(f"{len(found)} job(s) are dismissed")
    if left := sorted({*(jobs or ())} - {row.id for row in rows}):
        raise CxrdError(f"left as they are: job {', '.join(map(str, left))}", hint=ONLY_DEAD)
    if not found:
        raise CxrdError("none of these jobs is dead", hint=ONLY_DEAD)


@queue.command("cancel")
def cancel(job: Annotated[int, typer.Argument(help="Id, as cxrd queue show lists it.")], config: Config = None) -> None:
    """Stop a job that waits; its study then waits for a person, who retries or dismisses it.

    Example: cxrd queue cancel 4711
    """
    database = existing(load(config).database.url)
    with database.write() as connection:
        hindered = interventions.cancel(connection, database.now(connection), job, actor=OPERATOR)
    if hindered is None:
        raise CxrdError(f"there is no job {job}", hint="cxrd queue show lists them")
    if hindered:
        raise CxrdError(f"job {job} is {hindered} and cannot be cancelled", hint="only what waits can be")
    typer.echo(f"job {job} is cancelled")


@queue.command("pause")
def pause(destination: Lane, config: Config = None) -> None:
    """Send nothing to a destination until it is resumed; results wait, and nothing is lost.

    Example: cxrd queue pause archive
    """
    _set_paused(load(config), destination, paused=True)
    typer.echo(f"{destination} is paused; what is being sent now is finished")


@queue.command("resume")
def resume(destination: Lane, config: Config = None) -> None:
    """Send to a paused destination again.

    Example: cxrd queue resume archive
    """
    _set_paused(load(config), destination, paused=False)
    typer.echo(f"{destination} gets its results again")


def _set_paused(settings: Settings, destination: str, *, paused: bool) -> None:
    database = existing(settings.database.url)
    names = [d.name for d in settings.destinations]
    with database.write() as connection:
        lanes.register(connection, names)  # an operator may pause a destination before the first start
        known = lanes.pause(connection, database.now(connection), destination, paused=paused, actor=OPERATOR)
    if not known:
        raise CxrdError(f"no destination {destination}", hint=f"configured are: {', '.join(names) or 'none'}")
