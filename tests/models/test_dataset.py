"""``cxrd dataset folder``, and what every builder does: from films as they lie there to a table the trainer reads."""

from __future__ import annotations

import csv
import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxrd_models.cli import app
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import COVID3, NIH14, PNEUMONIA, Task
from cxrd_models.dataset.words import KERMANY, cell_of, parse_map, patient_by, task_for, years


def dataset(*arguments: object) -> Result:
    """What ``cxrd dataset`` answers."""
    return CliRunner().invoke(app, ["dataset", *(str(argument) for argument in arguments)])


def paint(path: Path, seed: int = 0) -> Path:
    """A small film of its own looks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 5)).astype(np.uint8)
    Image.fromarray(cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC)).save(path)
    return path


def rows_of(out: Path) -> list[dict[str, str]]:
    """Lines of the table that a builder wrote."""
    with (out / "labels.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def kermany(tmp_path: Path) -> Path:
    """Kermany's folders: 30 films of 20 children, two of each pneumonia; train and test alone, no val."""
    folder, seed = tmp_path / "chest_xray", iter(range(1000))
    for split, start, many in (("train", 100, 16), ("test", 900, 4)):
        for i in range(start, start + many // 2):
            paint(folder / split / "NORMAL" / f"IM-{i:04d}-0001.jpeg", next(seed))
            for film in (2 * i, 2 * i + 1):
                paint(folder / split / "PNEUMONIA" / f"person{i}_bacteria_{film}.jpeg", next(seed))
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Class folders without splits: 20 films of NORMAL and 20 of PNEUMONIA, each of a patient of its own."""
    for i in range(40):
        paint(tmp_path / "films" / ("NORMAL", "PNEUMONIA")[i % 2] / f"ward-{i}" / "film.png", i)
    return tmp_path / "films"


def test_kermany_folders_keep_their_test_and_get_a_val(kermany: Path, tmp_path: Path) -> None:
    """The published test stays, val is taken from patients of train, and the trainer reads what was written."""
    answer = dataset("folder", kermany, "--out", tmp_path / "out")
    assert (0, str(tmp_path / "out" / "labels.csv")) == (answer.exit_code, answer.stdout.strip())
    films = read_manifest(tmp_path / "out", PNEUMONIA).films
    assert {f.file for f in films if f.split == "test"} == {str(p) for p in (kermany / "test").rglob("*.jpeg")}
    assert {"train", "val"} == {f.split for f in films if "/train/" in f.file}
    assert {f"person{i}" for i in (*range(100, 108), 900, 901)} == {f.patient for f in films if f.labels}
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert ("folder", 6, 0) == (about["builder"], about["counts"]["films"]["test"], about["leakage"]["n_patients"])


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person23_bacteria_78.jpeg", "person23"),
        ("person23_virus_56.jpeg", "person23"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("scan.jpeg", ""),
    ],
)
def test_kermany_names_tell_the_patient(name: str, patient: str) -> None:
    """One person's films share a patient; another's name tells none."""
    assert patient == patient_by(KERMANY, name)


def test_what_a_system_left_beside_the_films_is_no_film(kermany: Path, tmp_path: Path) -> None:
    """Folders of macOS, of git and of caches are passed over, as the published archives carry them."""
    for name in ("__MACOSX/chest_xray/train/NORMAL/._IM-1.jpeg", ".git/objects/x", ".cache/small/a.png"):
        (kermany / name).parent.mkdir(parents=True)
        (kermany / name).write_bytes(b"no film")
    assert 0 == dataset("folder", kermany, "--out", tmp_path / "out").exit_code
    assert 30 == len(rows_of(tmp_path / "out"))


def test_a_name_in_another_encoding_is_told_before_a_film_is_read(kermany: Path, tmp_path: Path) -> None:
    """As an archive from Windows leaves it; it ended in a traceback when all films had been read."""
    folder = os.fsencode(kermany) + b"/train/NORMAL/"
    os.rename(folder + os.listdir(folder)[0], folder + b"Gr\xf6\xdfe.jpeg")  # noqa: PTH104, PTH208 - names in bytes
    answer = dataset("folder", kermany, "--out", tmp_path / "out")
    assert (2, True) == (answer.exit_code, "is not UTF-8" in answer.stderr), answer.stderr


def test_an_expression_finds_the_patient_and_a_map_the_class(classes: Path, tmp_path: Path) -> None:
    """The patient is in the path, and what a hospital calls a class means one of the task."""
    (classes / "NORMAL").rename(classes / "Unremarkable")
    options = ("--patient", r"ward-(\d+)", "--map", "unremarkable=normal", "--source", "ward", "--task", "pneumonia")
    assert 0 == dataset("folder", classes, *options, "--out", tmp_path / "out").exit_code
    found = rows_of(tmp_path / "out")
    assert {str(i) for i in range(40)} == {row["patient_id"] for row in found}
    assert ({"ward"}, {"normal", "pneumonia"}) == ({r["source"] for r in found}, {r["label_binary"] for r in found})


def test_films_below_the_data_set_are_named_from_there(classes: Path) -> None:
    """A data folder that is moved as a whole stays whole."""
    assert 0 == dataset("folder", classes, "--out", classes).exit_code
    moved = classes.rename(classes.with_name("moved"))
    assert all((moved / film.file).is_file() for film in read_manifest(moved, PNEUMONIA).films)
    assert "NORMAL/ward-0/film.png" == rows_of(moved)[0]["file"]


def test_the_same_seed_writes_the_same_bytes(classes: Path, tmp_path: Path) -> None:
    """Twice the same table and record; another seed divides otherwise; a patient stays whole in any."""
    written = []
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert 0 == dataset("folder", classes, "--out", tmp_path / name, "--seed", seed).exit_code
        written.append([(tmp_path / name / file).read_bytes() for file in ("labels.csv", "dataset.json")])
    assert written[0] == written[1]
    assert written[0][0] != written[2][0]


def test_equal_files_are_refused_or_settled(classes: Path, tmp_path: Path) -> None:
    """Of equal files one stays, and none where they are labelled differently."""
    for word in ("NORMAL", "PNEUMONIA"):
        shutil.copy(classes / "NORMAL" / "ward-0" / "film.png", paint(classes / word / "again.png"))
    shutil.copy(classes / "PNEUMONIA" / "ward-1" / "film.png", paint(classes / "PNEUMONIA" / "more.png"))
    answer = dataset("folder", classes, "--out", tmp_path / "out")
    assert (2, True) == (answer.exit_code, "are the same file (2 films are doubled)" in answer.stderr)
    answer = dataset("folder", classes, "--out", tmp_path / "out", "--drop-doubled")
    assert (0, True) == (answer.exit_code, "4 left out: doubled" in answer.stderr)
    kept = {row["orig_file"] for row in rows_of(tmp_path / "out")}
    left = {p.relative_to(classes).as_posix() for p in classes.rglob("*.png")} - kept
    same = {"NORMAL/again.png", "NORMAL/ward-0/film.png", "PNEUMONIA/again.png"}
    assert {*same, "PNEUMONIA/ward-1/film.png"} == left


def spoil(folder: Path, what: str) -> str:
    """Make one fault in class folders; what the message has to name."""
    film = folder / "NORMAL" / "ward-0" / "film.png"
    match what:
        case "no folder":
            folder.rename(folder.with_name("away"))
            told = f"{folder} is no folder"
        case "no film":
            shutil.rmtree(folder)
            folder.mkdir()
            told = f"{folder} holds no film"
        case "an empty class":
            (folder / "TUBERCULOSIS").mkdir()
            told = f"{folder / 'TUBERCULOSIS'} holds no film"
        case "no class":
            told = f"{film.rename(folder / 'film.png')} lies in no class folder"
        case "a cut film" | "no picture":
            film.write_bytes(film.read_bytes()[:200] if what == "a cut film" else b"a letter")
            told = f"{film} cannot be read"
        case "two splits":
            for seed, split in enumerate(("train", "test"), 900):
                paint(folder / split / "NORMAL" / "ward-0.png", seed)
            told = "given to two splits: test/NORMAL/ward-0.png to test, train/NORMAL/ward-0.png to train"
        case _:
            raise ValueError(what)
    return told


@pytest.mark.parametrize(
    "what",
    ["no folder", "no film", "an empty class", "no class", "a cut film", "no picture", "two splits"],
)
def test_a_fault_of_the_films_is_named(classes: Path, tmp_path: Path, what: str) -> None:
    """File and fault in one line, exit code 2, and no table."""
    told = spoil(classes, what)
    answer = dataset("folder", classes, "--out", tmp_path / "out", "--patient", r"ward-\d+|film")
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr
    assert not (tmp_path / "out" / "labels.csv").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ratios", "8,2"), "ratios '8,2' are not three positive numbers"),
        (("--ratios", "0.8,0.2,0"), "ratios '0.8,0.2,0' are not three positive numbers"),
        (("--ratios", "a,b,c"), "ratios 'a,b,c' are not three positive numbers"),
        (("--ratios", "1,nan,1"), "ratios '1,nan,1' are not three positive numbers"),
        (("--task", "covid3"), "PNEUMONIA' is not one of covid3: covid, normal, viral"),
        (("--task", "covid4"), "task 'covid4' is unknown"),
        (("--map", "NORMAL"), "'NORMAL' maps nothing"),
        (("--map", "normal=norml", "--task", "pneumonia"), "NORMAL/ward-0/film.png: label 'NORMAL' is not one of"),
        (("--patient", "ward-[7"), "'ward-[7' is no regular expression"),
        (("--patient", "bed-"), "ward-0/film.png: --patient finds no patient in 'NORMAL/ward-0/film.png'"),
        (
            ("--patient", r"NORMAL|ward-\d+"),
            "class 'normal' of label_binary is absent from split val; patients who show it: 1",
        ),
    ],
)
def test_a_wrong_option_is_named(classes: Path, tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    """What was said and what would do, exit code 2, and no table."""
    answer = dataset("folder", classes, "--out", tmp_path / "out", *options)
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr
    assert not (tmp_path / "out" / "labels.csv").exists()


def test_a_data_set_is_not_written_over_unasked(classes: Path, tmp_path: Path) -> None:
    """Only with --force, and a table that somebody else made is called so."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels.csv").write_text("mine\n")
    answer = dataset("folder", classes, "--out", out)
    assert (2, True) == (answer.exit_code, "labels.csv exists, and was not made here" in answer.stderr)
    assert "mine\n" == (out / "labels.csv").read_text()
    assert 0 == dataset("folder", classes, "--out", out, "--force").exit_code
    assert 40 == len(rows_of(out))
    assert 2 == dataset("folder", classes, "--out", out).exit_code


def test_a_folder_that_cannot_be_written_is_told(classes: Path, tmp_path: Path) -> None:
    """A file where the folder should be is a sentence, not a traceback."""
    (tmp_path / "out").write_text("a file")
    answer = dataset("folder", classes, "--out", tmp_path / "out")
    assert (2, True) == (answer.exit_code, f"{tmp_path / 'out'} cannot be written" in answer.stderr)


def test_labels_of_no_task_are_kept_and_said_to_be(classes: Path, tmp_path: Path) -> None:
    """They go to a column of their own, with a note."""
    (classes / "NORMAL").rename(classes / "[odd]")
    answer = dataset("folder", classes, "--out", tmp_path / "out")
    assert (0, True) == (answer.exit_code, "no task known by name has all these labels" in answer.stderr)
    assert {"[odd]", "PNEUMONIA"} == {row["label"] for row in rows_of(tmp_path / "out")}
    assert "label: [odd]" in answer.stderr  # not swallowed as markup


def test_without_pyarrow_parquet_is_refused_first(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a film is read: the spoiled one is not yet known."""
    monkeypatch.setattr("cxrd_models.dataset.rows.find_spec", lambda _: None)
    spoil(classes, "a cut film")
    answer = dataset("folder", classes, "--out", tmp_path / "out", "--parquet")
    assert (2, True) == (answer.exit_code, "needs pyarrow" in answer.stderr)


def test_parquet_holds_what_the_table_holds(classes: Path, tmp_path: Path) -> None:
    """The same cells by the same names; sizes are numbers."""
    assert 0 == dataset("folder", classes, "--out", tmp_path / "out", "--parquet").exit_code
    found = import_module("pyarrow.parquet").read_table(tmp_path / "out" / "labels.parquet").to_pylist()
    assert rows_of(tmp_path / "out") == [{name: str(cell) for name, cell in line.items()} for line in found]
    assert (40, 48) == (found[0]["width"], found[0]["height"])


@pytest.mark.parametrize(
    ("text", "age"),
    [("58", "58"), ("058Y", "58"), ("018M", "1"), ("3W", "0"), ("58.0", "58"), ("414", ""), ("old", ""), ("", "")],
)
def test_ages_are_whole_years(text: str, age: str) -> None:
    """As NIH and DICOM write them; what is no age of a person is unknown."""
    assert age == years(text)


@pytest.mark.parametrize(
    ("words", "mapping", "task"),
    [
        (("NORMAL", "Pneumonia"), (), PNEUMONIA),
        (("covid", "Normal", "Viral Pneumonia"), ("viral pneumonia=viral",), COVID3),
        (("Mass|nodule", "No finding"), (), NIH14),
        (("normal", "tuberculosis"), (), None),
    ],
)
def test_labels_find_their_task(words: tuple[str, ...], mapping: tuple[str, ...], task: Task | None) -> None:
    """The first that knows every word, in its own spelling."""
    said = parse_map(mapping)
    found = task_for("", words, said)
    assert (task and task.column) == (found and found.column)
    if task:
        assert all(task.parse(cell_of(found, word, said, "x")) is not None for word in words)
