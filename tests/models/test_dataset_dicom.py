"""``cxrd dataset dicom``: films are learnt as the daemon judges them, and only those that it would judge."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing, SecondaryCaptureImageStorage
from typer.testing import CliRunner

from cxrd.demo.phantom import Anatomy
from cxrd.demo.phantom import film as chest
from cxrd.demo.samples import samples
from cxrd.imaging.preprocess import Preprocess, apply
from cxrd.pipeline import Plan, prepare
from cxrd_models.cli import app
from cxrd_models.dataset.pictures import render
from support.datasets import encoded, film, pixels


def phantom() -> Dataset:
    """A film of the demonstration, with something at one side that a mirror would move."""
    dataset = pydicom.dcmread(BytesIO(samples("p", rows=512)["normal"]))
    dataset.PatientOrientation = ["L", "F"]
    cells = dataset.pixel_array.copy()
    cells[40:120, 20:80] = cells.max()
    dataset.PixelData = cells.tobytes()
    return dataset


def mirrored(dataset: Dataset) -> None:
    """The same film, stored from its other side."""
    dataset.PatientOrientation = ["R", "F"]
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, ::-1]).tobytes()


def negative(dataset: Dataset) -> None:
    """The same greys under a header that says their opposite."""
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"


@pytest.mark.parametrize("spoil", [lambda _: None, mirrored, negative], ids=["upright", "mirrored", "negative"])
def test_a_film_is_learnt_as_it_is_judged(tmp_path: Path, spoil: Callable[[Dataset], None]) -> None:
    """What the trainer reads of a film makes the input that the daemon makes of it, to eight bits."""
    dataset, how = phantom(), Preprocess(id="plain", height=64, width=64)
    spoil(dataset)
    data = encoded(dataset)
    (tmp_path / "film.dcm").write_bytes(data)
    served = prepare(data, "0" * 64, Plan((how,), (), 128)).inputs[how]
    with Image.open(render(tmp_path / "film.dcm", tmp_path / "out")) as picture:
        learnt = apply(how, np.asarray(picture, np.float32) / np.float32(255))
    np.testing.assert_allclose(learnt, served, atol=1 / 255)


def own_capture(**changes: Any) -> Dataset:
    """A colour capture as cxrd sends it back into a study."""
    dataset = film(**changes, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    pixels(dataset, np.full((256, 240, 3), 90, np.uint8), bits_stored=8, photometric="RGB")
    return dataset


def noise(**changes: Any) -> Dataset:
    """A frontal chest film by its header alone."""
    dataset = film(**changes)
    shades = np.random.default_rng(0).integers(800, 3000, (256, 240)).astype(np.uint16)
    pixels(dataset, shades, bits_stored=12)
    return dataset


def test_only_what_the_daemon_would_judge_is_learnt(tmp_path: Path) -> None:
    """Raw pixels, laterals, other parts, cxrd's own captures and what only a header calls a chest are left out."""
    films = tmp_path / "films"
    films.mkdir()
    with (tmp_path / "labels.csv").open("w", newline="") as text:
        table = csv.writer(text)
        table.writerow(("study_uid", "label"))
        for i in range(24):
            who: dict[str, Any] = {"PatientID": f"P{i}", "StudyInstanceUID": f"1.2.3.{i}"}
            table.writerow((f"1.2.3.{i}", ("normal", "pneumonia")[i % 2]))
            frontal = film(**who)
            pixels(frontal, chest(Anatomy(), rows=256, columns=224, seed=i), bits_stored=12)
            (films / f"{i}.dcm").write_bytes(encoded(frontal))
        strangers = (
            own_capture(**who),
            film(**who, SOPClassUID=DigitalXRayImageStorageForProcessing, Modality="DX"),
            film(**who, ViewPosition="LL"),
            film(**who, BodyPartExamined="HAND"),
            noise(**who),
        )
        for i, each in enumerate(strangers, 100):
            (films / f"{i}.dcm").write_bytes(encoded(each))
    words = ("dicom", films, "--labels", tmp_path / "labels.csv", "--salt", "s", "--out", tmp_path / "out")
    answer = CliRunner().invoke(app, ["dataset", *map(str, words)])
    assert 0 == answer.exit_code, answer.stderr
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    reasons = ("body_part", "colour", "for_processing", "lateral", "not_chest_film")
    assert {f"not admitted: {reason}": 1 for reason in reasons} == about["left_out"]
    assert 24 == sum(about["counts"]["films"].values())
    assert "1 left out: not admitted: for_processing" in answer.stderr
