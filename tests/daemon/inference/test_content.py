"""The content check that comes with cxrd, on real films whose headers say nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cxrd.admission import contradiction
from cxrd.errors import PackageError
from cxrd.findings import View
from cxrd.imaging.preprocess import apply
from cxrd.inference import content
from cxrd.inference.content import ContentCheck
from cxrd.rules import Admission
from support.packages import make_package

RULES = Admission()


@pytest.fixture(scope="module")
def check() -> ContentCheck:
    """The shipped package."""
    found = content.load(RULES)
    assert found is not None
    return found


def never_trained_on(folder: Path) -> list[str]:
    """Laterals, slices and photographs of the package's own test split."""
    table = content.shipped_folder() / "film_content" / "1.0.0" / "evaluation" / "predictions.csv"
    with table.open(encoding="utf-8") as lines:
        names = [row["file"].removeprefix("films/") for row in csv.DictReader(lines)]
    return [name for name in names if name.startswith("ood/") and (folder / name).is_file()]


def refused(check: ContentCheck, folder: Path, names: list[str], view: View) -> NDArray[np.bool_]:
    """Which pictures are refused where the header tells ``view``."""
    found = []
    for name in names:
        picture = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        image = apply(check.preprocess, (picture / 255).astype(np.float32))
        found.append(contradiction(check.look(image[np.newaxis])[0], view, RULES) is not None)
    return np.array(found)


def test_pictures_that_it_never_saw_are_refused(check: ContentCheck, films: Path) -> None:
    """At least 95 % of laterals, slices and photographs with blank headers; most where a header says frontal."""
    folder = films / "cxr-open"
    names = never_trained_on(folder)
    assert {"lateral", "ct", "natural"} == {Path(name).stem.split("_")[0] for name in names}
    assert refused(check, folder, names, View.UNKNOWN).mean() >= 0.95
    assert refused(check, folder, names, View.PA).mean() >= 0.9


def test_real_frontal_films_pass(check: ContentCheck, films: Path) -> None:
    """At most 1 % of the test split is refused, of children and adults, of 64 pixels and of 512, without any header."""
    folder = films / "cxr-open"
    with (folder / "labels.csv").open(encoding="utf-8") as lines:
        names = [row["file"] for row in csv.DictReader(lines) if row["split"] == "test"]
    assert len(names) == 877
    assert refused(check, folder, names, View.UNKNOWN).mean() <= 0.01


def test_a_site_may_do_without() -> None:
    """Then only headers are believed."""
    assert content.load(Admission(content="off")) is None


def test_a_classifier_of_findings_is_no_content_check(tmp_path: Path) -> None:
    """It cannot tell a frontal film from a knee."""
    with pytest.raises(PackageError, match="no frontal film"):
        content.load(Admission(content_model=make_package(tmp_path)))
