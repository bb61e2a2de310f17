"""``cxrd demo``: start a daemon and a stand-in PACS on free loopback ports, send films, show what came back."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener
from uuid import uuid4

import cv2
import numpy as np
import pydicom
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.errors import CxrdError
from cxrd.findings import Answer
from cxrd.imaging.film import as_dicom
from cxrd.imaging.header import read_header
from cxrd.peers import Destination
from cxrd.settings import load
from cxrd.store import views
from cxrd.store.database import Database

CONFIG = """\
# Written by `cxrd demo`: a complete configuration for this machine alone.
[dicom]
ae_title = "CXRD"
bind = "127.0.0.1"
port = {dicom_port}
[[dicom.sources]]
name = "pacs"
ae_title = "PACS"
hosts = ["127.0.0.1"]
quiet_period_s = 1
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
send = ["sr", "sc"]
[database]
url = "sqlite:///{folder}/cxrd.db"
[storage]
dir = "{folder}/payload"
min_free_mb = 64
[web]
port = {web_port}
"""
START_S = 90.0
FINISH_S = 180.0
FINISHED = frozenset({"delivered", "refused", "failed"})


def show(out: Path, *, films: Path | None, keep: bool) -> None:
    """Run the demonstration.

    Parameters
    ----------
    out : Path
        Made anew: configuration, database, log, ``pacs/*.dcm`` and a ``*.png`` of each heatmap.
    films : Path or None
        Folder of real DICOM films; None sends the phantoms.
    keep : bool
        Leave everything running until Ctrl-C.

    Raises
    ------
    CxrdError
        The node did not start, or a film did not reach an end; the log's path is in the message.
    """
    console = Console(markup=False, emoji=False)  # names of files, and what they say, are shown as they are
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the node it started is ended too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shutil.rmtree(out, ignore_errors=True)
    (out / "pacs").mkdir(parents=True)
    sent = _real(films, out / "films") if films else _phantoms(out / "films")
    pacs = StandInPacs(out / "pacs", "PACS")
    pacs.start()
    dicom_port, web_port = _free_port(), _free_port()
    config = out / "cxrd.toml"
    config.write_text(
        CONFIG.format(dicom_port=dicom_port, pacs_port=pacs.port, web_port=web_port, folder=out.as_posix()),
        encoding="utf-8",
    )
    page = f"http://127.0.0.1:{web_port}/"
    try:
        with _daemon(config, out / "cxrd.log", page):
            console.print(f"The node runs: DICOM CXRD@127.0.0.1:{dicom_port}, page {page}")
            _send(console, sent, dicom_port)
            _wait(config, len(set(_studies(sent))), out / "cxrd.log")
            _pictures(out)
            _findings(console, config, sent)
            console.print(f"Objects in {out / 'pacs'}, pictures in {out}, log in {out / 'cxrd.log'}.")
            if keep:
                console.print(f"Running until Ctrl-C. The operations page is at {page}")
                signal.pause()
    except KeyboardInterrupt:
        console.print("stopped")
    finally:
        pacs.stop()


def _phantoms(folder: Path) -> list[Path]:
    """Synthetic studies as files, with new UIDs in each run."""
    folder.mkdir(parents=True)
    return [_written(folder / f"{name}.dcm", data) for name, data in samples(salt=uuid4().hex).items()]


def _real(films: Path, folder: Path) -> list[Path]:
    """A person's own films; a bare data set gets the meta information that sending needs."""
    folder.mkdir(parents=True)
    found = [path for path in sorted(films.rglob("*")) if path.is_file()]
    if not found:
        raise CxrdError(f"no files in {films}", hint="give a folder of DICOM, PNG or JPEG films")
    return [_written(folder / f"{path.stem}.dcm", as_dicom(path.read_bytes(), path.name)) for path in found]


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _daemon(config: Path, log: Path, page: str) -> Iterator[None]:
    """Run ``cxrd serve`` as its own process until every role has reported."""
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "cxrd", "serve", "--config", str(config)], stderr=stream, stdout=stream
        )
        try:
            _await_ready(process, f"{page}readyz", log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    here = build_opener(ProxyHandler({}))  # a hospital's proxy knows nothing of this machine's loopback
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CxrdError("the node ended at start", hint=f"see {log}")
        try:
            with here.open(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass  # 503 while roles start, or nobody listens yet
        time.sleep(0.3)
    raise CxrdError(f"the node was not ready after {START_S:.0f} s", hint=f"see {log}")


def _send(console: Console, sent: Sequence[Path], port: int) -> None:
    node = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=port)
    outgoing = [Outgoing.of(path) for path in sent]
    for item, result in zip(outgoing, send(node, "PACS", outgoing), strict=True):
        if result.outcome is not Outcome.STORED:
            console.print(f"{item.path.name} was not stored: {result.message}")


def _wait(config: Path, studies: int, log: Path) -> None:
    database = Database(load(config).database.url)
    deadline = time.monotonic() + FINISH_S
    with Progress(transient=True) as progress:
        bar = progress.add_task("Analysing", total=studies)
        while time.monotonic() < deadline:
            with database.read() as connection:
                done = sum(row.state in FINISHED for row in views.studies(connection, limit=1000))
            progress.update(bar, completed=done)
            if done >= studies:
                return
            time.sleep(0.2)
    raise CxrdError(
        f"{studies - done} of {studies} studies did not reach an end in {FINISH_S:.0f} s", hint=f"see {log}"
    )


def _pictures(out: Path) -> None:
    """A PNG of each Secondary Capture that the PACS got."""
    for path in sorted((out / "pacs").glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "SR":
            continue
        name = f"{dataset.PatientID or 'film'}-{path.stem[-6:]}.png".replace("/", "_")
        cv2.imwrite(str(out / name), np.ascontiguousarray(dataset.pixel_array[..., ::-1]))


def _studies(sent: Sequence[Path]) -> list[str]:
    return [str(read_header(path).StudyInstanceUID) for path in sent]


def _findings(console: Console, config: Path, sent: Sequence[Path]) -> None:
    names = {study: path.stem for study, path in zip(_studies(sent), sent, strict=True)}
    table = Table("film", "state", "model", "present", "strongest", "delivered", title="Findings", title_justify="left")
    with Database(load(config).database.url).read() as connection:
        for row in views.studies(connection, limit=1000):
            analysis = views.analysis(connection, row.uid)
            delivered = "SR and SC" if row.state == "delivered" else ""
            if analysis is None:
                table.add_row(names.get(row.uid, row.uid), row.state, "", row.reason.split(":")[0], "", "")
            for answer in (a for film in (analysis.films if analysis else ()) for a in film.answers):
                ranked = sorted(answer.findings, key=lambda x: -x.probability)
                present = ", ".join(f"{x.class_id} {x.probability:.2f}" for x in ranked if x.answer is Answer.PRESENT)
                strongest = f"{ranked[0].class_id} {ranked[0].probability:.2f}" if ranked else answer.note
                name = f"{answer.model.id} {answer.model.version}"
                table.add_row(names.get(row.uid, row.uid), row.state, name, present or "none", strongest, delivered)
    console.print(table)
