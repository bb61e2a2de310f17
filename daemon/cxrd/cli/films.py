"""Commands that take films: analyse, send, demo."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from cxrd.cli import printing
from cxrd.cli.node import Config
from cxrd.errors import ConfigError, CxrdError
from cxrd.peers import Destination
from cxrd.settings import load

Paths = Annotated[list[Path], typer.Argument(help="Files or folders.", exists=True)]


def register(app: typer.Typer) -> None:
    """Add this family of commands."""
    app.command()(analyse)
    app.command()(send)
    app.command()(demo)


def analyse(
    paths: Paths,
    out: Annotated[Path, typer.Option("--out", help="Folder for the SR and SC objects.")],
    config: Config = None,
) -> None:
    """Analyse DICOM, PNG or JPEG films without a daemon; one JSON line each on standard output.

    Example: cxrd analyse film.dcm more/ --out results/
    """
    from cxrd.service.offline import analyse_files  # noqa: PLC0415 - listing studies should not load models

    files = _files(paths)
    with printing.progress() as bar:
        task = bar.add_task("analysing", total=len(files))
        for line in analyse_files(files, load(config), out):
            typer.echo(json.dumps(line, ensure_ascii=False))
            bar.advance(task)


def send(
    paths: Paths,
    to: Annotated[str, typer.Option("--to", help="Where: AETITLE@HOST:PORT.")],
    calling: Annotated[str, typer.Option("--from", help="Our AE title.")] = "CXRD",
) -> None:
    """Send DICOM files by C-STORE.

    Example: cxrd send films/ --to CXRD@127.0.0.1:11112 --from PACS
    """
    from cxrd.delivery.sender import Outcome, Outgoing  # noqa: PLC0415 - as in analyse
    from cxrd.delivery.sender import send as store  # noqa: PLC0415 - as in analyse
    from cxrd.imaging.film import as_dicom  # noqa: PLC0415 - as in analyse

    destination = destination_of("--to", to)
    with TemporaryDirectory(prefix="cxrd-send-") as scratch:
        outgoing = []
        for number, path in enumerate(_files(paths)):
            part10 = Path(scratch) / f"{number}.dcm"
            part10.write_bytes(as_dicom(path.read_bytes(), path.name))
            outgoing.append(Outgoing.of(part10))
        answers = store(destination, calling, outgoing)
        with printing.progress() as bar:
            results = list(bar.track(answers, total=len(outgoing), description="sending"))
    failed = [result for result in results if result.outcome is not Outcome.STORED]
    for result in failed:
        typer.echo(f"{result.sop_uid}: {result.message}", err=True)
    typer.echo(f"{len(results) - len(failed)} of {len(results)} object(s) stored by {to}")
    if failed:
        raise CxrdError(f"{len(failed)} object(s) were not stored", hint="each line above says why")


def demo(
    films: Annotated[
        Path | None, typer.Option("--films", help="Folder of real DICOM films instead of the phantoms.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("var/demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep running and print the page's address.")] = False,  # noqa: FBT002
) -> None:
    """Show the whole path on this machine: a daemon, a stand-in PACS, sample films, results.

    Example: cxrd demo --films ~/films
    """
    from cxrd.demo.show import show  # noqa: PLC0415 - as in analyse

    show(out, films=films, keep=keep)


def _files(paths: list[Path]) -> list[Path]:
    found = [f for p in paths for f in (sorted(q for q in p.rglob("*") if q.is_file()) if p.is_dir() else [p])]
    if not found:
        raise ConfigError("no files found", hint="name DICOM, PNG or JPEG files, or a folder of them")
    return found


def destination_of(option: str, text: str) -> Destination:
    """Read AETITLE@HOST:PORT."""
    try:
        title, _, rest = text.partition("@")
        host, _, port = rest.rpartition(":")
        return Destination(name="to", ae_title=title, host=host, port=int(port))
    except ValueError:
        raise ConfigError(f"{option} {text} cannot be read", hint="write it as AETITLE@HOST:PORT") from None
