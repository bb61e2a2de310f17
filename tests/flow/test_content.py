"""Real films and what is none, sent to a node with its content check as it is shipped, and told from outside."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import pytest
from pydicom import dcmread

from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.imaging.film import as_dicom
from cxrd.peers import Destination
from support.node import Node, until
from support.packages import make_package

pytestmark = pytest.mark.flow

OTHERS = {
    "lateral_16663_1_2": "lateral",
    "lateral_covid-19-pneumonia-14-L": "lateral",
    "ct_16745_3_2": "not_chest_film",
    "natural_cat": "not_chest_film",
}
"""Pictures that the check never saw in training, and what each is refused as."""


def blank(picture: Path) -> bytes:
    """A grey picture as a Secondary Capture whose header tells neither part nor view."""
    grey = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return as_dicom(cv2.imencode(".png", grey)[1].tobytes(), picture.name)


def told(node: Node, study: str) -> dict[str, Any]:
    """What ``cxrd studies show`` prints once the study has reached an end."""

    def ended() -> dict[str, Any]:
        answer = node.cli("studies", "show", study, "--json")
        found: dict[str, Any] = json.loads(answer.stdout) if answer.returncode == 0 else {"state": ""}
        return found if found["state"] in {"delivered", "refused", "failed"} else {}

    return until(ended, seconds=90, what=f"an end of {study}")


def test_real_films_are_delivered_and_other_pictures_refused(films: Path, tmp_path: Path, pacs: StandInPacs) -> None:
    """Three films of hospitals get their results; laterals, slices and photographs with blank headers get a reason."""
    make_package(tmp_path / "models")
    wanted = {path.stem: ("", as_dicom(path.read_bytes(), path.name)) for path in (films / "dicom").glob("*.dcm")}
    wanted |= {name: (reason, blank(films / f"cxr-open/ood/{name}.jpg")) for name, reason in OTHERS.items()}
    studies: dict[str, str] = {}
    outgoing = []
    for name, (_, data) in wanted.items():
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(data)
        studies[name] = str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)
        outgoing.append(Outgoing.of(path))
    with Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models", content="refuse") as node:
        target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port)
        assert {Outcome.STORED} == {result.outcome for result in send(target, "PACS", outgoing)}
        found = {name: told(node, study) for name, study in studies.items()}
        metrics = node.get("/metrics")
        story = node.cli("explain", studies["natural_cat"], "--json").stdout
    states = {name: "refused" if reason else "delivered" for name, (reason, _) in wanted.items()}
    assert states == {name: study["state"] for name, study in found.items()}
    assert {name: [reason] for name, (reason, _) in wanted.items()} == {
        name: [image["reason"] for image in study["images"]] for name, study in found.items()
    }
    for reason, count in Counter(OTHERS.values()).items():
        assert f'cxrd_images_refused_total{{reason="{reason}"}} {count}.0' in metrics
    assert "the pixels show no chest film" in story
    real = {studies[path.stem] for path in (films / "dicom").glob("*.dcm")}
    arrived = [(str(d.StudyInstanceUID), str(d.Modality)) for d in map(dcmread, pacs.folder.glob("*.dcm"))]
    assert Counter((study, modality) for study in real for modality in ("SR", "OT")) == Counter(arrived)
