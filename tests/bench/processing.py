"""CPU time of one study of one 10 MB film, outside inference, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from bench.films import ten_megabytes
from cxrd import report
from cxrd.findings import ArtefactKind
from cxrd.imaging.decode import decode
from cxrd.imaging.header import read_header
from cxrd.imaging.preprocess import Preprocess, apply, display
from cxrd.store.payload import PayloadStore
from cxrd.work.infer import PNG_STORED
from support.analyses import FACTS, analysis

ROUNDS = 9


def milliseconds(work: Callable[[], Any]) -> float:
    """Median CPU time of this process over several rounds, after one that is not counted."""
    work()
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        found.append((time.process_time() - started) * 1000)
    return median(found)


def measure(folder: Path) -> Iterator[tuple[str, str]]:
    """Each stage and their sum."""
    cv2.setNumThreads(1)
    data = ten_megabytes()
    film = decode(data).pixels
    preview = display(film, 1024)
    header = read_header(data)
    found = analysis(header)
    payload = PayloadStore(folder / "payload")
    uid = header.SOPInstanceUID

    def build(kind: ArtefactKind) -> Any:
        sends = [frozenset({kind})]
        return report.build(found, {uid: header}, {uid: preview}, sends=sends, facts=FACTS, now=datetime.now(UTC))

    capture = build(ArtefactKind.SC)[0].data
    serial = iter(range(10**9))
    stages = {
        "header and admission": lambda: read_header(data),
        "decode": lambda: decode(data),
        "preprocess for one model": lambda: apply(Preprocess(id="plain", height=224, width=224), film),
        "preview as PNG": lambda: cv2.imencode(".png", display(film, 1024), PNG_STORED),
        "payload: hash, write, fsync the film": lambda: payload.put(data + str(next(serial)).encode()),
        "build SR": lambda: build(ArtefactKind.SR),
        "build SC": lambda: build(ArtefactKind.SC),
        "payload: hash, write, fsync the SC": lambda: payload.put(capture + str(next(serial)).encode()),
    }
    total = 0.0
    for name, work in stages.items():
        cost = milliseconds(work)
        total += cost
        yield f"CPU, {name}", f"{cost:.1f} ms"
    yield "CPU outside inference and network, sum", f"{total:.0f} ms"
