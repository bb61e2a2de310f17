"""A night's worth of studies at once: the listener's memory stays where it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from bench.receiving import LISTEN
from cxrd.delivery.sender import Outcome, Outgoing, echo, send
from cxrd.peers import Destination
from support.datasets import DX, encoded, film
from support.node import free_port, until

pytestmark = pytest.mark.flow
WARM, STUDIES, LOT, SENDERS = 200, 1000, 25, 4
BOUND_MIB = 50


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM now, MiB (proc(5) status)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def lots(folder: Path, number: int) -> list[list[Outgoing]]:
    """Small films, each its own study, in lots of one association each."""
    dataset = film(rows=64, columns=64, SOPClassUID=DX, Modality="DX")
    found = []
    for _ in range(number):
        dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(encoded(dataset))
        found.append(Outgoing(DX, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID, path))
    return [found[n : n + LOT] for n in range(0, number, LOT)]


def test_a_thousand_studies_leave_the_listener_as_it_was(tmp_path: Path) -> None:
    """Between the 200th and the 1,000th study it grows by less than 50 MiB: nothing is kept for each."""
    port = free_port()
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=port, timeout_s=60)
    (tmp_path / "films").mkdir()
    command = [sys.executable, "-c", LISTEN, str(tmp_path), str(port)]
    quiet = subprocess.DEVNULL

    def store(lot: Sequence[Outgoing]) -> set[Outcome]:
        return {result.outcome for result in send(target, "PACS", lot)}

    with (
        subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=Path(__file__).parents[1]) as process,
        ThreadPoolExecutor(SENDERS) as pool,
    ):
        try:
            until(lambda: echo(target, "PACS"), seconds=120, what="the listener answers")
            films = lots(tmp_path / "films", STUDIES)
            warm = WARM // LOT
            assert {Outcome.STORED} == set().union(*pool.map(store, films[:warm]))
            before = resident_mib(process.pid)
            assert {Outcome.STORED} == set().union(*pool.map(store, films[warm:]))
            grown = resident_mib(process.pid) - before
        finally:
            process.terminate()
    print(f"\nlistener: {before:.0f} MiB after {WARM} studies, {grown:+.1f} MiB after {STUDIES}")
    assert grown < BOUND_MIB
