"""The five packages that a fresh clone runs, on one film, as a daemon runs them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from cxrd.delivery.sender import Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.demo.samples import samples
from cxrd.peers import Destination
from support.node import Node, until

pytestmark = pytest.mark.flow


def test_all_five_judge_a_film_of_unknown_age(root: Path, tmp_path: Path, pacs: StandInPacs) -> None:
    """One report names all five and their findings; the gate of the ensemble is a metric."""
    starters = root / "models" / "starter"
    film = pydicom.dcmread(BytesIO(samples(salt="five")["opacity"]))
    film.PatientAge = film.PatientBirthDate = ""  # grown up or a child: no model can be ruled out
    film.save_as(tmp_path / "film.dcm")
    with Node(tmp_path, pacs_port=pacs.port, models=starters) as node:
        target = Destination(name="cxrd", ae_title="CXRD", host="127.0.0.1", port=node.port)
        list(send(target, "PACS", [Outgoing.of(tmp_path / "film.dcm")]))
        until(lambda: [r["state"] for r in node.studies()] == ["delivered"], seconds=120, what="it is delivered")
        metrics = node.get("/metrics")
    told = str(next(d for d in map(pydicom.dcmread, pacs.folder.glob("*.dcm")) if d.Modality == "SR"))
    models = sorted(folder.name for folder in starters.iterdir())
    assert 5 == len(models)
    for model in models:
        assert model in told
        assert f'model="{model}"' in metrics
    assert 'cxrd_gate_films_total{model="medconvformer"} 1.0' in metrics
