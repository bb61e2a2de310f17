"""Durable C-STORE of 10 MB films: cxrd beside dcmtk's storescp and Orthanc, the same senders, the same disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from uuid import uuid4

from pydicom import dcmread
from pydicom.uid import UID

from support.node import free_port, until

FILMS, ROUNDS = 12, 5
LISTEN = """
import os, sys, threading
from pathlib import Path
from cxrd.intake.doors import open_doors
from cxrd.intake.listener import Listener
from cxrd.intake.places import Places
from cxrd.peers import Dicom
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.lifeline import die_with_parent
from support.observing import Noted
folder, port = Path(sys.argv[1]), int(sys.argv[2])
Database(f"sqlite:///{folder}/cxrd.db").upgrade()
settings = Dicom(bind="127.0.0.1", port=port)
doors = open_doors(settings)
for _ in range(settings.processes() - 1):  # as the supervisor does
    if not os.fork():
        die_with_parent()
        break
parts = Database(f"sqlite:///{folder}/cxrd.db"), PayloadStore(folder / "payload")
places = Places(folder / "associations")
Listener(settings, *parts, min_free_bytes=0, observer=Noted(), places=places, doors=doors).start()
threading.Event().wait()
"""


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[None]:
    """A server until its port answers and then until the block ends."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=Path(__file__).parents[1])
    try:
        until(lambda: echo(port), seconds=30, what=f"{command[0]} answers")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def echo(port: int) -> bool:
    """Whether a C-ECHO is answered."""
    peer = ["echoscu", "-aec", "CXRD", "127.0.0.1", str(port)]
    return subprocess.run(peer, capture_output=True, check=False).returncode == 0


def cxrd_listener(folder: Path, port: int) -> list[str]:
    """Our listener processes alone, with their database and payload store."""
    return [sys.executable, "-c", LISTEN, str(folder), str(port)]


def storescp(folder: Path, port: int) -> list[str]:
    """Dcmtk's receiver, one process for each association."""
    return ["storescp", "--fork", "+xa", "-aet", "CXRD", "-od", str(folder), str(port)]


def orthanc(folder: Path, port: int) -> list[str]:
    """Orthanc with its own database."""
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "db"),
        "DicomAet": "CXRD",
        "DicomPort": port,
        "HttpPort": free_port(),
        "DicomCheckCalledAet": False,
        "Plugins": [],
    }
    config.write_text(json.dumps(settings))
    return ["Orthanc", str(config)]


SERVERS: dict[str, Callable[[Path, int], list[str]]] = {"cxrd": cxrd_listener, "storescp": storescp, "Orthanc": orthanc}


def seconds(port: int, films: Sequence[Path], associations: int) -> float:
    """Time until every film is acknowledged, sent by so many storescu at once."""
    shares = [films[n::associations] for n in range(associations)]
    started = time.perf_counter()
    senders = [
        subprocess.Popen(["storescu", "-aec", "CXRD", "127.0.0.1", str(port), *map(str, share)]) for share in shares
    ]
    assert [0] * associations == [sender.wait() for sender in senders]
    return time.perf_counter() - started


def fresh(films: Sequence[Path]) -> None:
    """Give every film a new SOP Instance UID, so that no round is a resend."""
    for path in films:
        dataset = dcmread(path)
        uid = UID(f"2.25.{uuid4().int}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.save_as(path)


def disk_rate(folder: Path, films: Sequence[Path], writers: int) -> float:
    """Films a second that the disk itself takes: the same bytes, written and synced by so many threads."""
    data = [path.read_bytes() for path in films]
    folder.mkdir()

    def durable(number: int) -> None:
        with (folder / str(number)).open("wb") as file:
            file.write(data[number])
            file.flush()
            os.fsync(file.fileno())

    started = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(durable, range(len(data))))
    rate = len(data) / (time.perf_counter() - started)
    shutil.rmtree(folder)
    return rate


def measure(folder: Path, films: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Films a second of each server, and cxrd's ratio to the others."""
    there = {name: make for name, make in SERVERS.items() if name == "cxrd" or shutil.which(name)}
    for associations in (1, 4):
        rates: dict[str, list[float]] = {name: [] for name in (*there, "the disk, synced")}
        for _ in range(ROUNDS):
            rates["the disk, synced"].append(disk_rate(folder / uuid4().hex, films, associations))
            for name, make in there.items():
                place = folder / uuid4().hex
                place.mkdir()
                port = free_port()
                fresh(films)
                with running(make(place, port), port):
                    rates[name].append(len(films) / seconds(port, films, associations))
                shutil.rmtree(place, ignore_errors=True)
        for name, found in rates.items():
            yield f"C-STORE of 10 MB, {associations} association(s), {name}", f"{median(found):.1f} films/s"
        for name, found in rates.items():
            if name != "cxrd":
                ratio = median(a / b for a, b in zip(rates["cxrd"], found, strict=True))
                yield f"cxrd / {name}, {associations} association(s)", f"{ratio:.2f}"
