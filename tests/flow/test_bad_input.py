"""What hospitals also send: each thing ends in a named state with a reason, and nothing else stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    DigitalXRayImageStorageForProcessing,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.peers import Destination
from support.datasets import encoded, film, pixels
from support.node import Node, free_port, until
from support.packages import make_package

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one node and its PACS."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "pacs").mkdir()
    make_package(folder / "models")
    return folder


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[Node]:
    """One node for every case, because one bad object must not disturb the next."""
    pacs = StandInPacs(place / "pacs", "PACS")
    pacs.start()
    with Node(place, pacs_port=pacs.port, models=place / "models") as running:
        yield running
    pacs.stop()


def store(node: Node, folder: Path, data: bytes) -> Outcome:
    """Send one object as it is."""
    path = folder / "object.dcm"
    path.write_bytes(data)
    target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port)
    (result,) = send(target, "PACS", [Outgoing.of(path)])
    return result.outcome


def shown(node: Node, study: str) -> dict[str, Any]:
    """What ``cxrd studies show`` knows."""
    answer = node.cli("studies", "show", study, "--json")
    found: dict[str, Any] = json.loads(answer.stdout) if answer.returncode == 0 else {"state": ""}
    return found


def ended(node: Node, study: str) -> dict[str, Any]:
    """The same, once the study has reached an end."""
    ends = {"delivered", "refused", "failed", "quarantined"}
    return until(lambda: shown(node, study) if shown(node, study)["state"] in ends else {}, seconds=60, what="an end")


def truncated() -> tuple[str, bytes]:
    """A film whose second half was lost on the way."""
    dataset = film()
    return dataset.StudyInstanceUID, encoded(dataset)[:-40000]


def report() -> tuple[str, bytes]:
    """A text report among the images."""
    dataset = film(SOPClassUID=BasicTextSRStorage, Modality="SR")
    return dataset.StudyInstanceUID, encoded(dataset)


def lateral() -> tuple[str, bytes]:
    """The other half of a two-view study."""
    dataset = film(ViewPosition="LL", PatientOrientation=["A", "F"])
    return dataset.StudyInstanceUID, encoded(dataset)


def photograph() -> tuple[str, bytes]:
    """A colour picture in DICOM clothes."""
    dataset = film(SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    pixels(dataset, np.full((300, 300, 3), 200, np.uint8), bits_stored=8, photometric="RGB")
    return dataset.StudyInstanceUID, encoded(dataset)


def knee() -> tuple[str, bytes]:
    """A radiograph, but not of a chest."""
    dataset = film(BodyPartExamined="KNEE")
    return dataset.StudyInstanceUID, encoded(dataset)


def raw() -> tuple[str, bytes]:
    """A detector's pixels, before the processing that makes a film of them."""
    dataset = film(SOPClassUID=DigitalXRayImageStorageForProcessing, PresentationIntentType="FOR PROCESSING")
    return dataset.StudyInstanceUID, encoded(dataset)


def bomb() -> tuple[str, bytes]:
    """A header that asks for sixteen gigabytes."""
    dataset = film()
    dataset.Rows = dataset.Columns = 65535
    return dataset.StudyInstanceUID, encoded(dataset)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (truncated, "decode_failed"),
        (report, "sop_class"),
        (lateral, "lateral"),
        (photograph, "colour"),
        (knee, "body_part"),
        (raw, "for_processing"),
        (bomb, "too_large"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_it_is_refused_by_name(node: Node, tmp_path: Path, make: Callable[[], tuple[str, bytes]], reason: str) -> None:
    """Acknowledged, kept, refused with its reason in state, image row and audit trail."""
    study, data = make()
    assert Outcome.STORED == store(node, tmp_path, data)
    found = ended(node, study)
    assert "refused" == found["state"]
    assert [reason] == [image["reason"] for image in found["images"]]
    assert "instance_refused" in [row["what"] for row in found["audit"]]


def test_missing_type_2_tags_do_not_matter(node: Node, tmp_path: Path, place: Path) -> None:
    """Neither for the analysis nor for the objects that come of it."""
    gone = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber")
    missing: dict[str, Any] = dict.fromkeys(gone)
    dataset = film(**missing, StudyID=None, ReferringPhysicianName=None)
    store(node, tmp_path, encoded(dataset))
    assert "delivered" == ended(node, dataset.StudyInstanceUID)["state"]


def test_an_object_without_a_study_is_kept_aside(node: Node, tmp_path: Path) -> None:
    """Acknowledged with a warning and visible under a name of its own."""
    assert Outcome.STORED == store(node, tmp_path, encoded(film(StudyInstanceUID=None)))
    rows = until(lambda: [s for s in node.studies() if s["state"] == "quarantined"], seconds=30, what="it is listed")
    assert ["missing_uid"] == [row["reason"] for row in rows]


def test_a_bare_file_can_be_sent(node: Node, tmp_path: Path) -> None:
    """``cxrd send`` gives a file without preamble and meta information what an association needs."""
    dataset = film()
    path = tmp_path / "bare.dcm"
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    whole = encoded(dataset)
    path.write_bytes(whole[whole.index(b"\x08\x00\x05\x00") :])
    sent = node.plain("send", str(path), "--to", f"CXRD@127.0.0.1:{node.port}", "--from", "PACS")
    assert (0, "1 of 1") == (sent.returncode, sent.stdout[:6])
    assert "delivered" == ended(node, dataset.StudyInstanceUID)["state"]


def test_a_frontal_beside_a_lateral_is_analysed(node: Node, tmp_path: Path) -> None:
    """The usual study: one film is judged, the other is named as refused."""
    frontal, side = film(), film(ViewPosition="LL", PatientOrientation=["A", "F"])
    side.StudyInstanceUID = frontal.StudyInstanceUID
    for dataset in (frontal, side):
        store(node, tmp_path, encoded(dataset))
    found = ended(node, frontal.StudyInstanceUID)
    assert "delivered" == found["state"]
    assert {"", "lateral"} == {image["reason"] for image in found["images"]}


def late(first: Dataset) -> Dataset:
    """Another frontal of the same study."""
    second = film()
    second.StudyInstanceUID = first.StudyInstanceUID
    return second


def test_a_late_film_makes_a_new_report_that_names_the_old_one(node: Node, tmp_path: Path) -> None:
    """The study is opened again; the earlier report is superseded, not lost."""
    first = film()
    store(node, tmp_path, encoded(first))
    ended(node, first.StudyInstanceUID)
    store(node, tmp_path, encoded(late(first)))
    reports = until(
        lambda: [o for o in shown(node, first.StudyInstanceUID).get("objects", []) if o["kind"] == "sr"][1:],
        seconds=60,
        what="a second report",
    )
    old = next(o for o in shown(node, first.StudyInstanceUID)["objects"] if o["kind"] == "sr")
    assert [old["sop_uid"]] == [r["supersedes"] for r in reports]


def test_a_pacs_that_is_down_gets_its_results_later(tmp_path: Path) -> None:
    """Results wait with a reason that says why, other work goes on, and nothing is sent twice."""
    port = free_port()
    (tmp_path / "pacs").mkdir()
    make_package(tmp_path / "models")
    dataset = film()
    with Node(tmp_path, pacs_port=port, models=tmp_path / "models") as node:
        store(node, tmp_path, encoded(dataset))
        waiting = until(
            lambda: [
                j for j in shown(node, dataset.StudyInstanceUID).get("jobs", []) if j["kind"] == "deliver" and j["err"]
            ],
            seconds=60,
            what="a delivery that failed",
        )
        assert "cannot be reached" in waiting[0]["err"]
        assert 'cxrd_destination_up{destination="pacs"} 0.0' in node.get("/metrics")
        pacs = StandInPacs(tmp_path / "pacs", "PACS", port)
        pacs.start()
        try:
            assert "delivered" == ended(node, dataset.StudyInstanceUID)["state"]
            assert [1, 1] == sorted(pacs.receipts.values())
        finally:
            pacs.stop()
