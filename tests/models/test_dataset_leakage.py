"""``cxrd dataset check``: what crosses the splits, and what tells a label without a look at the film."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from cxrd_models.cli import app
from cxrd_models.dataset.checking import Checked, check_folder
from cxrd_models.dataset.clues import find_clues
from cxrd_models.dataset.leakage import hashes, structure
from cxrd_models.dataset.rows import Row
from cxrd_models.errors import DataError

Line = tuple[str, str, str, str]


def check(folder: Path) -> Result:
    """What ``cxrd dataset check`` answers; wide enough that no name is broken."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["dataset", "check", str(folder)])


def picture(seed: int) -> NDArray[np.uint8]:
    """A film of its own structure, coarse and fine."""
    random = np.random.default_rng(seed)
    coarse, fine = (random.integers(0, 128, (n, n)).astype(np.uint8) for n in (5, 24))
    size = (320, 384)
    return np.asarray(
        cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC) + cv2.resize(fine, size), np.uint8
    )  # 255 at most


def tell(folder: Path, lines: Sequence[Line]) -> None:
    """Write a table of file, split, patient and label."""
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as text:
        table = csv.writer(text)
        table.writerow(("file", "split", "patient_id", "label_binary"))
        table.writerows(lines)


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    """Nine films of nine patients, three in each split, and a table of them."""
    for i in range(9):
        Image.fromarray(picture(i)).save(tmp_path / f"{i}.png")
    found = [(f"{i}.png", ("train", "val", "test")[i % 3], f"p{i}", ("normal", "pneumonia")[i % 2]) for i in range(9)]
    tell(tmp_path, found)
    return found


def test_a_clean_data_set_passes(tmp_path: Path, lines: list[Line]) -> None:
    """Counts, and no leak; the answer is on stdout."""
    answer = check(tmp_path)
    assert (0, True) == (answer.exit_code, "label_binary: pneumonia" in answer.stdout)
    assert ["none"] * 3 == [word for word in answer.stdout.split() if word in ("none", "LEAK", "warning")]


def test_a_patient_in_two_splits_is_a_leak(tmp_path: Path, lines: list[Line]) -> None:
    """Exit code 1, and both films by name."""
    tell(tmp_path, [*lines[:8], ("8.png", "test", "p0", "normal")])
    answer = check(tmp_path)
    assert (1, True) == (answer.exit_code, "0.png (train) - 8.png (test)" in answer.stdout)
    found = check_folder(tmp_path).leakage
    assert (1, 0, 0) == (found.n_patients, found.n_copies, found.n_look_alikes)


def test_the_same_bytes_in_two_splits_are_a_leak(tmp_path: Path, lines: list[Line]) -> None:
    """Under another name and another patient."""
    shutil.copy(tmp_path / "3.png", tmp_path / "[copy].png")
    tell(tmp_path, [*lines, ("[copy].png", "val", "p99", "pneumonia")])
    answer = check(tmp_path)
    assert (1, True) == (answer.exit_code, "3.png (train) - [copy].png (val)" in answer.stdout)
    found = check_folder(tmp_path).leakage
    assert (0, 1, 0) == (found.n_patients, found.n_copies, found.n_look_alikes)


@pytest.mark.parametrize("how", ["recompressed", "reduced", "squashed", "brighter"])
def test_a_changed_copy_in_another_split_is_a_warning(tmp_path: Path, lines: list[Line], how: str) -> None:
    """As archives change a film: the pair is named, and no other is accused."""
    film = Image.fromarray(picture(0))
    match how:
        case "recompressed":
            film.save(tmp_path / "copy.jpg", quality=40)
        case "reduced":
            film.resize((80, 96)).save(tmp_path / "copy.jpg")
        case "squashed":
            film.resize((224, 224)).save(tmp_path / "copy.jpg")
        case _:
            Image.fromarray((255 * (np.asarray(film) / 255) ** 0.8).astype(np.uint8)).save(tmp_path / "copy.jpg")
    tell(tmp_path, [*lines, ("copy.jpg", "test", "p99", "pneumonia")])
    answer = check(tmp_path)
    assert (0, True) == (answer.exit_code, "warning" in answer.stdout)
    assert [("0.png", "copy.jpg")] == [(pair.one, pair.other) for pair in check_folder(tmp_path).leakage.look_alikes]


def test_copies_within_a_split_are_no_leak(tmp_path: Path, lines: list[Line]) -> None:
    """Nor are two films of a patient there."""
    shutil.copy(tmp_path / "3.png", tmp_path / "copy.png")
    tell(tmp_path, [*lines, ("copy.png", "train", "p0", "normal")])
    assert not check_folder(tmp_path).leakage.broken


def test_a_film_of_one_grey_resembles_none() -> None:
    """Two blank films are alike in nothing that could be compared."""
    blank = np.full((2, 32, 32), 7, np.uint8)
    assert 0 == float(structure(blank)[0] @ structure(blank)[1])
    assert (2, 64) == hashes(blank).shape
    assert ((0, 64), (0, 1024)) == (hashes(blank[:0]).shape, structure(blank[:0]).shape)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("9.png", "holdout", "p9", "normal"), "row 11 (9.png): split 'holdout' is not one of"),
        (("0.png", "train", "p0", "normal"), "row 11: 0.png is in row 2 too"),
        (("none.png", "train", "p0", "normal"), "none.png cannot be read"),
        (("0.png", "train", "", "normal"), "row 11: file or patient_id is empty"),
    ],
)
def test_a_faulty_table_cannot_be_checked(tmp_path: Path, lines: list[Line], line: Line, told: str) -> None:
    """Row and film are named, with exit code 2."""
    tell(tmp_path, [*lines, line])
    answer = check(tmp_path)
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr


def test_a_folder_without_a_table_cannot_be_checked(tmp_path: Path) -> None:
    """Exit code 2."""
    answer = check(tmp_path)
    assert (2, True) == (answer.exit_code, "labels.csv does not exist" in answer.stderr)


def test_bookkeeping_that_tells_a_label_is_loud() -> None:
    """Source tells it wholly, size in part, view not at all; a class that five films do not show says nothing."""
    rows = [
        Row(
            file=f"{i}.png",
            source="ab"[i % 2],
            split=("train", "test")[i // 100],
            labels={"label_binary": ("normal", "pneumonia")[i % 2], "nih14": "Hernia" if i == 150 else "Mass"},
            patient_id=f"p{i}",
            view=("PA", "AP")[i // 2 % 2],
            width=100 if i % 2 or i % 10 == 0 else 300,
            height=100,
        )
        for i in range(200)
    ]
    found = {(clue.column, clue.name): clue for clue in find_clues(rows)}
    one = found["label_binary", "pneumonia"]
    assert (1.0, 0.5, 0.9, ("source", "size")) == (one.source, one.view, one.size, one.loud)
    assert (None, None, None, ()) == tuple(
        getattr(found["nih14", "Hernia"], name) for name in ("source", "view", "size", "loud")
    )


@pytest.fixture(scope="module")
def opened(films: Path) -> Checked:
    """The real data set, every film of it read once."""
    return check_folder(films / "cxr-open")


def test_the_real_data_set_has_no_leak(opened: Checked) -> None:
    """No patient, no bytes and no looks of 6,549 films are in two splits: the bar accuses no innocent pair."""
    leakage = opened.leakage
    assert (6549, 0, 0, 0) == (len(opened.rows), leakage.n_patients, leakage.n_copies, leakage.n_look_alikes)


def test_the_known_shortcut_of_the_real_data_set_is_found(opened: Checked) -> None:
    """COVID is told by where a film comes from, how it was taken and how large it is; pneumonia of children is not."""
    clues = {(clue.column, clue.name): clue for clue in opened.clues}
    assert ("source", "view", "size") == clues["label_covid3", "covid"].loud
    assert () == clues["label_binary", "pneumonia"].loud


def test_a_faulty_copy_of_the_real_data_set_is_caught(films: Path, tmp_path: Path) -> None:
    """A real film that is recompressed and reduced, and given to test as another patient's."""
    with (films / "cxr-open" / "labels.csv").open(newline="", encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["source"] == "kermany_full"]
    chosen = [next(r for r in rows if r["split"] == split) for split in ("train", "val", "test")]
    lines = [(str(films / "cxr-open" / r["file"]), r["split"], r["patient_id"], r["label_binary"]) for r in chosen]
    with Image.open(lines[0][0]) as film:
        film.resize((film.width * 2 // 3, film.height * 2 // 3)).save(tmp_path / "copy.jpg", quality=60)
    tell(tmp_path, [*lines, ("copy.jpg", "test", "p99", "normal")])
    found = check_folder(tmp_path).leakage
    assert [(lines[0][0], "copy.jpg")] == [(pair.one, pair.other) for pair in found.look_alikes]


def test_a_builder_checks_what_it_wrote_against_itself(tmp_path: Path, lines: list[Line]) -> None:
    """A table that gives a recompressed copy to another split is built, with the warning in its record and answer."""
    Image.fromarray(picture(0)).save(tmp_path / "copy.jpg", quality=40)
    tell(tmp_path, [*lines, ("copy.jpg", "test", "p99", "normal")])
    call = ("dataset", "csv", tmp_path / "labels.csv", "--label", "label_binary", "--split", "split")
    answer = CliRunner().invoke(app, [str(word) for word in (*call, "--out", tmp_path / "out")])
    assert (0, True) == (answer.exit_code, "warning" in answer.stderr), answer.stderr
    assert '"n_look_alikes": 1' in (tmp_path / "out" / "dataset.json").read_text()


def test_a_missing_column_is_named(tmp_path: Path, lines: list[Line]) -> None:
    """A table without patients cannot tell whether they leak."""
    (tmp_path / "labels.csv").write_text("file,split\n0.png,train\n")
    with pytest.raises(DataError, match="no column patient_id"):
        check_folder(tmp_path)
