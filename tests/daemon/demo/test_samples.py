"""Synthetic films that a person takes for chest films, as valid objects."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from cxrd.admission import judge
from cxrd.demo.phantom import Anatomy, Opacity, film
from cxrd.demo.samples import SAMPLES, samples
from cxrd.errors import Reason, Refused
from cxrd.imaging.decode import decode

ROWS = 512


def median(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> float:
    """Median of a part of a film, given in parts of its sides."""
    rows, columns = image.shape
    return float(np.median(image[int(rows * top) : int(rows * bottom), int(columns * left) : int(columns * right)]))


def test_it_looks_like_a_chest() -> None:
    """Air outside black, lungs dark, mediastinum and abdomen bright, the heart to the image-right."""
    image = film(Anatomy(), rows=ROWS, columns=448)
    lung, spine = median(image, 0.3, 0.5, 0.2, 0.35), median(image, 0.3, 0.6, 0.47, 0.53)
    abdomen, outside = median(image, 0.9, 0.98, 0.3, 0.45), median(image, 0.0, 0.05, 0.0, 0.1)
    assert outside < lung < abdomen < spine
    assert median(image, 0.55, 0.65, 0.62, 0.70) > 1.2 * median(image, 0.55, 0.65, 0.24, 0.30)


def test_an_opacity_brightens_its_place_and_no_other() -> None:
    """So that a demonstration has something to show."""
    plain = film(Anatomy(), rows=ROWS, columns=448).astype(int)
    ill = film(Anatomy(opacities=(Opacity(-0.47, 0.6, 0.2),)), rows=ROWS, columns=448).astype(int)
    assert median(ill - plain, 0.57, 0.63, 0.24, 0.29) > 300
    assert abs(median(ill - plain, 0.3, 0.5, 0.65, 0.8)) < 20


def test_a_large_heart_is_wider() -> None:
    """At the level of the ventricles, near the left border of the chest."""
    plain, large = (film(Anatomy(heart=ratio), rows=ROWS, columns=448) for ratio in (0.45, 0.62))
    assert median(large, 0.6, 0.66, 0.80, 0.84) > median(plain, 0.6, 0.66, 0.80, 0.84) + 200


def test_the_same_seed_is_the_same_film() -> None:
    """And another is not."""
    first, second, third = (film(Anatomy(), rows=128, columns=112, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """Every sample, small."""
    return samples("test", rows=ROWS)


def test_samples_are_valid_objects(made: dict[str, bytes], tmp_path: Path) -> None:
    """The validator finds no error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dicom3tools: apt-get install dicom3tools")
    for name, data in made.items():
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(data)
        found = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert [] == [line for line in found.stderr.splitlines() if line.startswith("Error")], name


def test_all_but_the_lateral_are_admitted(made: dict[str, bytes]) -> None:
    """The demonstration shows a refusal too."""
    refused = {}
    for name, data in made.items():
        try:
            judge(dcmread(BytesIO(data)))
        except Refused as error:
            refused[name] = error.reason
    assert {"lateral": Reason.LATERAL} == refused


def test_the_inverse_sample_is_shown_the_right_way(made: dict[str, bytes]) -> None:
    """Stored as MONOCHROME1, as half of real films are."""
    image = decode(made["inverse"]).pixels
    assert median(image, 0.3, 0.5, 0.2, 0.35) < median(image, 0.3, 0.6, 0.47, 0.53)


def test_another_salt_is_another_hospital(made: dict[str, bytes]) -> None:
    """UIDs and accession numbers of two runs never meet."""
    other = samples("other", rows=64)
    for name in SAMPLES:
        one, two = (dcmread(BytesIO(d[name]), stop_before_pixels=True) for d in (made, other))
        assert one.StudyInstanceUID != two.StudyInstanceUID
        assert one.AccessionNumber != two.AccessionNumber
