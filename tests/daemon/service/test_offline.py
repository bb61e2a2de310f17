"""``cxrd analyse``: files in, one line each out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cxrd.demo.samples import samples
from cxrd.errors import ConfigError
from cxrd.imaging.decode import decode
from cxrd.service.offline import analyse_files
from cxrd.settings import load
from support.datasets import encoded
from support.packages import make_package


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of every kind, and a tiny model."""
    folder = tmp_path_factory.mktemp("films")
    make_package(folder / "models")
    (folder / "cxrd.toml").write_text(f'[models]\ndir = "{folder}/models"\n')
    (folder / "in").mkdir()
    for name, data in samples("x", rows=256).items():
        (folder / "in" / f"{name}.dcm").write_bytes(data)
    grey = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (300, 1))
    Image.fromarray(grey).save(folder / "in" / "ramp.png")
    phantom = decode(samples("x", rows=256)["opacity"]).pixels
    Image.fromarray(np.rint(phantom * 255).astype(np.uint8)).save(folder / "in" / "grey.png")
    colour = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(colour).save(folder / "in" / "photo.jpg")
    (folder / "in" / "notes.txt").write_text("no film")
    return folder


@pytest.fixture(scope="module")
def lines(place: Path) -> dict[str, dict[str, Any]]:
    """What ``cxrd analyse`` prints, by file name."""
    words = ("analyse", str(place / "in"), "--out", str(place / "out"), "--config", str(place / "cxrd.toml"))
    done = subprocess.run([sys.executable, "-m", "cxrd", *words], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(line["file"]).name: line for line in found}


def test_every_file_has_one_line(lines: dict[str, dict[str, Any]], place: Path) -> None:
    """Nothing is left out, and nothing else is on standard output."""
    assert {path.name for path in (place / "in").iterdir()} == set(lines)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("lateral.dcm", "lateral"), ("photo.jpg", "colour"), ("notes.txt", "unreadable"), ("ramp.png", "not_chest_film")],
)
def test_what_is_not_analysed_says_why(lines: dict[str, dict[str, Any]], name: str, reason: str) -> None:
    """With its reason, and without probabilities."""
    assert (False, reason, {}) == (lines[name]["admitted"], lines[name]["reason"], lines[name]["models"])


@pytest.mark.parametrize("name", ["normal.dcm", "inverse.dcm", "large_heart.dcm", "grey.png"])
def test_what_is_analysed_has_probabilities_and_objects(lines: dict[str, dict[str, Any]], name: str) -> None:
    """A DICOM film or a picture, the same line and the same objects."""
    line = lines[name]
    assert line["admitted"]
    assert all(0 <= p <= 1 for p in line["models"]["tiny"].values())
    assert ["SR", "OT"] == sorted((dcmread(path).Modality for path in line["outputs"]), reverse=True)


def test_no_film_is_written_over_another(place: Path, tmp_path: Path) -> None:
    """Of three patients: files named by UIDs alike but for the end, and of one name in two folders; pictures too."""
    films = [dcmread(place / "in" / "normal.dcm") for _ in range(3)]
    for number, uid in enumerate(["1.2.840.1", "1.2.840.2", "../../1"], 1):  # a header may hold anything
        films[number - 1].PatientID, films[number - 1].SOPInstanceUID = f"P-{number}", uid
    names = ["1.2.840.1", "1.2.840.2", "A/IM0001.dcm"]
    png = (place / "in" / "grey.png").read_bytes()
    files = [*zip(names, map(encoded, films), strict=True), ("B/IM0001.png", png), ("C/IM0001.png", png)]
    paths = [tmp_path / "in" / name for name, _ in files]
    for path, (_, data) in zip(paths, files, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    lines = list(analyse_files(paths, load(place / "cxrd.toml"), tmp_path / "out"))
    written = [path for line in lines for path in line["outputs"]]
    assert 2 * len(files) == len(set(written))
    assert {tmp_path / "out"} == {Path(path).parent for path in written}
    patients = [{dcmread(path).PatientID for path in line["outputs"]} for line in lines]
    assert [{"P-1"}, {"P-2"}, {"P-3"}, {""}, {""}] == patients
    assert str(tmp_path / "out" / "1.2.840.1.sr.dcm") in written
    assert str(tmp_path / "out" / "IM0001.png.sr.dcm") in written


def at(place: Path, tmp_path: Path, points: str) -> dict[str, Any]:
    """What is told of the normal film at a site's operating points."""
    config = tmp_path / "cxrd.toml"
    config.write_text(f'[models]\ndir = "{place}/models"\n[models.thresholds]\n{points}\n')
    (line,) = analyse_files([place / "in" / "normal.dcm"], load(config), tmp_path / "out")
    return line


def test_a_sites_operating_points_hold_here_too(place: Path, tmp_path: Path) -> None:
    """As on the node: one film, one configuration, one answer; a model that is not there is named."""
    everything = at(place, tmp_path, "tiny = { Cardiomegaly = 0.0001 }")
    nothing = at(place, tmp_path, "tiny = { Cardiomegaly = 0.9999 }")
    assert everything["models"] == nothing["models"]
    assert "Cardiomegaly" in everything["present"]["tiny"]
    assert "Cardiomegaly" not in nothing["present"]["tiny"]
    with pytest.raises(ConfigError, match="chram"):
        at(place, tmp_path, "chram = { Cardiomegaly = 0.5 }")


def test_a_stored_inverse_is_judged_like_the_film_it_is(lines: dict[str, dict[str, Any]], place: Path) -> None:
    """The tiny model answers brightness: an inverted reading would be far off."""
    probabilities = [lines[f"{name}.dcm"]["models"]["tiny"]["Cardiomegaly"] for name in ("normal", "inverse")]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=0.1)


def test_a_configuration_fault_is_exit_code_two(place: Path) -> None:
    """With a sentence on standard error and nothing on standard output."""
    command = [sys.executable, "-m", "cxrd", "models", "ls", "--config", str(place / "nowhere.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (2, "") == (done.returncode, done.stdout)
    assert "does not exist" in done.stderr
