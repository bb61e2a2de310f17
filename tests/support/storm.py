"""What storms and crashes are judged by: a sender that repeats, and looks from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Protocol

from pydicom import dcmread

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.peers import Destination
from support.datasets import encoded, film


class Door(Protocol):
    """Where films are taken on loopback: a node, or what stands before several."""

    port: int


@dataclass
class Sender:
    """A PACS that forwards films and repeats each until it is acknowledged."""

    node: Door
    folder: Path
    acknowledged: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        """Send new films until told to stop; the one in hand is always brought to its end."""
        while not self.stop.is_set():
            self.one()

    def one(self) -> None:
        """Send one new film until it is acknowledged."""
        dataset = film(rows=220, columns=210)
        path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(encoded(dataset))
        self.until_acknowledged(Outgoing.of(path), dataset.StudyInstanceUID)

    def until_acknowledged(self, item: Outgoing, study: str) -> None:
        """Repeat one film."""
        target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=self.node.port, timeout_s=5)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            (result,) = send(target, "PACS", [item])
            if result.outcome is Outcome.STORED:
                self.bodies[item.sop_uid] = body(item.path.read_bytes())
                self.acknowledged[item.sop_uid] = study
                return
            time.sleep(0.1)
        raise AssertionError(f"not acknowledged in two minutes: {result.message}")


def body(part_10: bytes) -> bytes:
    """The encoded data set of a Part 10 file."""
    meta = dcmread(BytesIO(part_10), stop_before_pixels=True).file_meta
    return part_10[132 + 12 + meta.FileMetaInformationGroupLength :]


def at(pacs: StandInPacs) -> dict[str, list[str]]:
    """Modality of each object at the PACS, by study."""
    found: dict[str, list[str]] = {}
    for path in list(pacs.folder.glob("*.dcm")):
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "Modality"])
        found.setdefault(dataset.StudyInstanceUID, []).append(dataset.Modality)
    return {study: sorted(kinds) for study, kinds in found.items()}


def stored(payload: Path) -> Iterator[bytes]:
    """Each file of a payload store whose name is its hash."""
    for path in payload.glob("??/??/*"):
        data = path.read_bytes()
        if sha256(data).hexdigest() == path.name:
            yield data


def lost(bodies: Mapping[str, bytes], payload: Path) -> list[str]:
    """SOP Instance UIDs of films whose data set does not lie in a payload store as it was sent."""
    there = {sha256(body(data)).digest() for data in stored(payload) if data[128:132] == b"DICM"}
    return [uid for uid, data in bodies.items() if sha256(data).digest() not in there]
