"""The whole bundle on films whose answers are known: a package that looks at stripes, films with a bright one."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from cxrd.findings import Box
from cxrd.inference.engine import load
from cxrd_models.cli import app
from cxrd_models.data.own import RUN
from cxrd_models.data.tasks import COVID3
from cxrd_models.errors import DataError
from cxrd_models.evaluate.answers import answer
from cxrd_models.evaluate.command import Options, evaluate_package
from cxrd_models.evaluate.places import Place, summary
from cxrd_models.evaluate.truth import meaning, read_boxes
from cxrd_models.train.watch import Watch
from support.packages import make_package

COVID = ("covid", "normal", "viral")
COLUMNS = (
    "file",
    "split",
    "patient_id",
    "label_covid3",
    "source",
    "view",
    "age",
    "sex",
    "width",
    "height",
    "lung_mask",
)


def quiet() -> Watch:
    return Watch(None, Console(file=StringIO()))


@pytest.fixture
def striped(tmp_path: Path) -> Path:
    """Make 60 films of 30 patients; films of "covid" are bright left of the middle, "normal" in it; none is viral."""
    folder, random, rows = tmp_path / "data", np.random.default_rng(5), list[tuple[str, ...]]()
    folder.mkdir()
    for i in range(66):
        split = "test" if i < 60 else ("train", "val")[i % 2]
        label = COVID[i % 2] if split == "test" else COVID[i % 3]
        film = random.integers(0, 20, (64, 64))
        shown = 1 - i % 2 if i < 6 else COVID.index(label)  # six films show what their label does not say
        film[16:48, 0:16] += 200 * (shown == 0)
        film[16:48, 24:40] += 200 * (shown == 1)
        Image.fromarray(film.astype(np.uint8)).save(folder / f"{i}.png")
        patient = f"secret-{i // 2}-{split}"
        rows.append(
            (f"{i}.png", split, patient, label, "ab"[i // 30 % 2], "PA", str(20 + i), "FM"[i % 2], "64", "64", "")
        )
    rows[8] = (*rows[8][:-1], "lungs.png")
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :64] = 255
    Image.fromarray(mask).save(folder / "lungs.png")
    write(folder / "labels.csv", COLUMNS, rows)
    boxes = [("8.png", "X", "covid", "0", "16", "16", "32"), ("10.png", "X", "COVID", "48", "48", "16", "16")]
    write(
        folder / "boxes.csv",
        ("file", "box_set", "label", "x", "y", "w", "h"),
        [*boxes, ("12.png", "X", "rib", *"1111")],
    )
    return folder


RECORD = {RUN: json.dumps({"task": COVID3.model_dump(mode="json")}).encode()}
"""What a run says of the task that its package was made for."""


def write(path: Path, heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([heading, *rows])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "packages", classes=COVID, task="multiclass", papers=RECORD)


def test_a_bundle_tells_what_was_found(striped: Path, package: Path, tmp_path: Path) -> None:
    """Six of sixty films are mixed up; boxes, lungs, groups and empty classes are told as they are."""
    out = tmp_path / "out"
    found = evaluate_package(package, striped, out, quiet(), Options(panels=2))
    assert found.confusion is not None
    assert found.confusion.counts == ((27, 3, 0), (3, 27, 0), (0, 0, 0))
    for figure in ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1"):
        assert getattr(found.confusion, figure).value == pytest.approx(0.9)
    assert found.unseen == ("viral",)
    assert found.judged == ("covid", "normal")

    model = next(p for p in found.places if p.map == "model")
    assert (model.class_id, model.films, model.boxed) == ("covid", 2, 2)
    assert 0.25 < model.iou <= 0.5  # one film found, and one whose true box lies elsewhere
    assert model.pointing == 0.5
    assert model.at_iou["0.5"] == 0.5
    assert found.lungs is not None
    assert found.lungs.films == 1
    assert found.lungs.area == pytest.approx(0.5)
    assert found.lungs.model is not None
    assert found.lungs.model > 0.9

    groups = {(g.attribute, g.group, g.class_id): g for g in found.subgroups}
    assert groups["sex", "F", "covid"].note == "too few films (30 < 50)"
    assert groups["size", "0-64 px", "covid"].films == 60
    assert groups["size", "0-64 px", "covid"].missed.value == pytest.approx(0.1)
    assert groups["size", "0-64 px", "covid"].gap.value is None  # there are no other films

    files = {f.name for f in out.iterdir()}
    assert files >= {"metrics.json", "per_class.csv", "predictions.csv", "subgroups.csv", "localisation.json"}
    assert files >= {"localisation.csv", "report.html", "roc.png", "pr.png", "reliability.png", "confusion.png"}
    assert {f for f in files if f.startswith("panel")} == {f"panel_0{i + 1}_{k}.png" for i, k in PANELS}
    assert json.loads((out / "metrics.json").read_text())["macro"]["value"] == found.macro.value


def test_films_of_another_data_set_are_not_said_to_be_unseen(striped: Path, package: Path, tmp_path: Path) -> None:
    """Divided anew, films to judge on may be films that were learnt: nobody here can know."""
    old = [tmp_path / "out" / name for name in ("panel_01_right.png", "localisation.csv")]
    old[0].parent.mkdir()
    for file in old:
        file.write_text("of an earlier evaluation")
    found = evaluate_package(package, striped, tmp_path / "out", quiet(), Options(panels=0))
    assert [False, True] == [file.exists() for file in old]  # what is not written anew is gone
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert (False, True, False) == (found.own_data, "divided anew" in page, "has not learnt" in page)


PANELS = ((0, "right"), (1, "right"), (2, "wrong"), (3, "wrong"))


def test_a_part_of_the_films_is_judged_in_batches_of_any_size(striped: Path, package: Path, tmp_path: Path) -> None:
    """The same films each time; a batch of one answers as a batch of sixteen."""
    one, many = (
        evaluate_package(package, striped, tmp_path / f"{size}", quiet(), Options(panels=0, films=20, batch=size))
        for size in (1, 16)
    )
    assert (20, one) == (many.films, many)


def test_a_bundle_names_no_patient_and_needs_no_network(striped: Path, package: Path, tmp_path: Path) -> None:
    """Pseudonyms in the predictions, the same for films of a patient; a page without scripts or addresses."""
    out = tmp_path / "out"
    evaluate_package(package, striped, out, quiet(), Options(panels=1))
    for file in out.iterdir():
        assert b"secret" not in file.read_bytes(), file
    rows = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert rows[0]["patient"] == rows[1]["patient"] != rows[2]["patient"]
    assert sum(float(rows[0][f"p_{name}"]) for name in COVID) == pytest.approx(1, abs=1e-4)
    softmax = np.exp([float(rows[0][f"logit_{name}"]) for name in COVID])
    assert float(rows[0]["p_covid"]) == pytest.approx(softmax[0] / softmax.sum(), abs=1e-3)
    page = (out / "report.html").read_text()
    assert not [word for word in ("<script", "http:", "https:", ' src="/', "url(") if word in page]
    assert page.count("data:image/") == 4 + 2
    for sentence in (
        "No film of the split shows viral",
        "Of 100 films, the most probable class is the right one in 90",
    ):
        assert sentence in page


def test_mirrored_films_are_averaged_and_their_maps_turned_back(package: Path) -> None:
    """A bright left stripe answers half as left and half as right, but its heat stays where it is."""
    film = np.zeros((1, 1, 64, 64), np.uint8)
    film[..., 16:48, 0:16] = 255
    classifier = load(package, provider="cpu")
    upright, mirrored = answer(classifier, film), answer(classifier, np.ascontiguousarray(film[..., ::-1]))
    both = answer(classifier, film, tta=True)
    np.testing.assert_allclose(both.probability, (upright.probability + mirrored.probability) / 2, atol=1e-7)
    assert upright.heat is not None
    assert mirrored.heat is not None
    assert both.heat is not None
    np.testing.assert_allclose(both.heat, (upright.heat + mirrored.heat[..., ::-1]) / 2, atol=1e-7)
    assert both.heat[0].max(axis=0)[1, 0] > 0
    assert both.heat[0].max(axis=0)[1, 3] == 0


def test_two_packages_are_compared_on_what_they_share(striped: Path, package: Path, tmp_path: Path) -> None:
    """A copy differs by nothing; a package that answers something else cannot be compared."""
    copy = make_package(tmp_path / "more", classes=COVID, task="multiclass", id="copy", papers=RECORD)
    found = evaluate_package(package, striped, tmp_path / "o", quiet(), Options(against=copy, panels=0)).against
    assert found is not None
    assert found.package == "copy 1.0.0"
    assert [(c.class_id, c.difference) for c in found.classes] == [("covid", 0.0), ("normal", 0.0), ("viral", None)]
    assert "Beside copy 1.0.0" in (tmp_path / "o" / "report.html").read_text()
    other = make_package(tmp_path / "more", classes=("Mass",), id="other")
    with pytest.raises(DataError, match=r"tiny 1\.0\.0 and other 1\.0\.0 share no class"):
        evaluate_package(package, striped, tmp_path / "o", quiet(), Options(against=other))


def test_the_command_prints_a_table_or_json_and_says_what_is_wrong(
    striped: Path, package: Path, tmp_path: Path
) -> None:
    """Both answers go to stdout; an unknown and an empty split end with exit code 2 and a sentence."""
    call = ["evaluate", str(package), "--data", str(striped), "--out", str(tmp_path / "o"), "--panels", "0"]
    told = CliRunner().invoke(app, [*call, "--json", "--tta"])
    assert json.loads(told.stdout)["tta"] is True
    assert "mean of 2 reported" in CliRunner().invoke(app, call).stdout
    wrong = CliRunner().invoke(app, [*call, "--split", "tset"])
    assert wrong.exit_code == 2
    assert "'tset' is not one of" in wrong.output
    lines = (striped / "labels.csv").read_text().replace(",test,", ",train,").replace("-test", "-train")
    (striped / "labels.csv").write_text(lines)
    empty = CliRunner().invoke(app, call)
    assert empty.exit_code == 2
    assert "no film of split 'test'" in empty.output


def test_boxes_are_read_by_what_they_mean(tmp_path: Path) -> None:
    """Names of other lists are known, an opacity may be pneumonia; a box without size is refused with its row."""
    assert meaning("infiltrate", ("Infiltration", "Mass")) == ("Infiltration",)
    assert meaning("Lung Opacity", ("Mass", "Pneumonia")) == ("Pneumonia",)
    assert meaning("Mass", ("pneumonia",)) == ()
    assert read_boxes(tmp_path, ("Mass",)) == {}
    write(tmp_path / "boxes.csv", ("file", "label", "x", "y", "w", "h"), [("a.png", "Mass", "1", "2", "3", "0")])
    with pytest.raises(DataError, match="row 2: a box of 3 x 0"):
        read_boxes(tmp_path, ("Mass",))


def test_a_film_without_a_predicted_box_counts_as_no_overlap() -> None:
    """One film hit exactly and one without a box: half the overlap, distances of the boxed film only."""
    box = Box(left=0, top=0, right=10, bottom=10)
    far = dict.fromkeys(("hausdorff_corners", "hausdorff_contour", "distance_corners", "distance_contour"))
    same = {"class_id": "Mass", "map": "model", "boxes": 1, "truth": box}
    hit = Place(file="a", box=box, iou=1, giou=1, iobb=1, pointed=True, **same, **dict.fromkeys(far, 2.0))
    none = Place(file="b", box=None, iou=0, giou=-1, iobb=0, pointed=False, **same, **far)
    (found,) = summary((hit, none))
    assert (found.films, found.boxed, found.iou, found.giou, found.pointing) == (2, 1, 0.5, 0.0, 0.5)
    assert found.at_iou == dict.fromkeys(("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"), 0.5)
    assert found.distance_contour == 2.0
