"""``cxrd dataset csv`` and ``covid``: any table, and a database with lung masks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxrd_models.cli import app
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import COVID3, PNEUMONIA

MAPPED = ("--map", "Virus=pneumonia")


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
def table(tmp_path: Path) -> Path:
    """A table of 30 films of 15 patients, each with a split, a view, an age and a sex in words of its own."""
    lines = [
        {
            "path": paint(tmp_path / "pictures" / f"{i}.png", i).name,
            "finding": ("Virus", "normal")[i // 2 % 2],
            "who": f"P{i // 2}",
            "set": ("Training", "Training", "valid", "Testing", "Training")[i // 4 % 5],
            "view": "PA",
            "years": "058Y",
            "gender": "female",
        }
        for i in range(30)
    ]
    write(tmp_path / "films.csv", lines)
    return tmp_path / "films.csv"


def write(table: Path, lines: Sequence[Mapping[str, str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, tuple(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def asked(table: Path, out: Path, *more: object) -> Result:
    """Read the table of the fixture."""
    columns = ("--file", "path", "--label", "finding", "--patient", "who")
    return dataset("csv", table, "--images", table.parent / "pictures", *columns, *MAPPED, "--out", out, *more)


def test_any_table_can_be_read(table: Path, tmp_path: Path) -> None:
    """Columns by their names, splits, ages and sexes in the words of the trainer's table."""
    more = ("--split", "set", "--view", "view", "--age", "years", "--sex", "gender")
    assert 0 == asked(table, tmp_path / "out", *more).exit_code
    first = rows_of(tmp_path / "out")[0]
    assert ("train", "pneumonia", "P0", "PA", "58", "F", "films") == tuple(
        first[name] for name in ("split", "label_binary", "patient_id", "view", "age", "sex", "source")
    )
    splits = {film.patient: film.split for film in read_manifest(tmp_path / "out", PNEUMONIA).films}
    assert ("val", "val", "test", "test") == tuple(splits[f"P{i}"] for i in (4, 5, 6, 7))


def test_a_table_without_patients_is_read_when_it_is_said(table: Path, tmp_path: Path) -> None:
    """Each film counts as a patient of its own, and a note says so; without films or labels there is no table."""
    given = ("csv", table, "--images", table.parent / "pictures", "--file", "path", *MAPPED, "--out", tmp_path / "out")
    answer = dataset(*given, "--label", "finding", "--patient", "")
    assert (0, True) == (answer.exit_code, "names no patients" in answer.stderr), answer.stderr
    rows = rows_of(tmp_path / "out")
    assert [row["orig_file"] for row in rows] == [row["patient_id"] for row in rows]
    answer = dataset(*given, "--label", "")
    assert (2, True) == (answer.exit_code, "--file and --label" in answer.stderr), answer.stderr


def test_splits_do_not_depend_on_the_order_of_the_lines(table: Path, tmp_path: Path) -> None:
    """A table that was sorted otherwise gives every film to the same split."""
    assert 0 == asked(table, tmp_path / "one").exit_code
    with table.open(newline="", encoding="utf-8") as text:
        write(table, list(csv.DictReader(text))[::-1])
    assert 0 == asked(table, tmp_path / "two").exit_code
    one, two = ({row["file"]: row["split"] for row in rows_of(tmp_path / name)} for name in ("one", "two"))
    assert one == two


def test_resplit_forgets_what_the_table_says(table: Path, tmp_path: Path) -> None:
    """As if there had been no column of splits."""
    assert 0 == asked(table, tmp_path / "said", "--split", "set", "--resplit").exit_code
    assert 0 == asked(table, tmp_path / "unsaid").exit_code
    assert rows_of(tmp_path / "unsaid") == rows_of(tmp_path / "said")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"finding": ""}, "films.csv row 4 (2.png): finding is empty"),
        ({"who": " "}, "films.csv row 4 (2.png): who is empty"),
        ({"path": ""}, "films.csv row 4 (): path is empty"),
        ({"path": "none.png"}, "films.csv row 4 (none.png) does not exist below"),
        ({"path": "0.png"}, "films.csv row 4 (0.png) is listed in row 2 too"),
        ({"finding": "Virrus"}, "films.csv row 4 (2.png): label 'Virrus' is not one of pneumonia: pneumonia, normal"),
        ({"set": "holdout"}, "films.csv row 4 (2.png): split 'holdout' is not train, val or test"),
        ({"who": "P2"}, "patient P2 is given to two splits"),
        ({"gender": "F,PA"}, ""),
    ],
)
def test_a_faulty_line_is_named(table: Path, tmp_path: Path, change: dict[str, str], told: str) -> None:
    """By its row and film; a comma inside quotes is no fault."""
    with table.open(newline="", encoding="utf-8") as text:
        lines = list(csv.DictReader(text))
    lines[2] |= change
    if "who" in change:
        lines[2]["set"] = "Testing"
    write(table, lines)
    answer = asked(table, tmp_path / "out", "--split", "set", "--sex", "gender", "--task", "pneumonia")
    assert (2 if told else 0, True) == (answer.exit_code, told in answer.stderr), answer.stderr


def test_a_line_of_too_many_cells_is_named(table: Path, tmp_path: Path) -> None:
    """A comma that was not quoted shifts every cell after it."""
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:3], f"{lines[3]},F", *lines[4:]]))
    answer = asked(table, tmp_path / "out")
    assert (2, True) == (answer.exit_code, "films.csv row 4 has 8 cells for 7 columns" in answer.stderr)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "films.csv has no column path, finding, who"),
        (b"path,finding,who\n", "films.csv holds no row"),
        (b"path,finding\na.png,normal\n", "films.csv has no column who (it has: path, finding)"),
        (b"path,finding,who\n\xff\xfe,normal,P1\n", "films.csv cannot be read"),
    ],
)
def test_a_table_that_is_none_is_named(table: Path, tmp_path: Path, text: bytes, told: str) -> None:
    """Empty, without lines, without a column, or no text."""
    table.write_bytes(text)
    answer = asked(table, tmp_path / "out")
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr


def test_a_table_of_excel_is_read(table: Path, tmp_path: Path) -> None:
    """With a byte order mark, and blanks around a name."""
    text = table.read_text().replace("path,finding", "path , finding", 1)
    table.write_text("\ufeff" + text, encoding="utf-8")
    assert 0 == asked(table, tmp_path / "out").exit_code


@pytest.fixture
def radiography(tmp_path: Path) -> Path:
    """The COVID-19 Radiography database: 12 films of each of four classes; one film has no mask."""
    folder, seed = tmp_path / "COVID-19_Radiography_Dataset", iter(range(100))
    for name in ("COVID", "Normal", "Viral Pneumonia", "Lung_Opacity"):
        for i in range(12):
            paint(folder / name / "images" / f"{name}-{i}.png", next(seed))
            paint(folder / name / "masks" / f"{name}-{i}.png", next(seed))
    (folder / "Normal" / "masks" / "Normal-3.png").unlink()
    (folder / "COVID.metadata.xlsx").write_bytes(b"a table")
    return folder


def test_the_radiography_database_brings_its_masks(radiography: Path, tmp_path: Path) -> None:
    """Each film of the three classes once, with the picture of its lungs where there is one."""
    answer = dataset("covid", radiography, "--out", tmp_path / "out")
    assert (0, True) == (answer.exit_code, "12 left out: Lung_Opacity is no class of covid3" in answer.stderr)
    films = read_manifest(tmp_path / "out", COVID3).films
    assert [12, 12, 12] == [sum(film.labels == (name,) for film in films) for name in COVID3.classes]
    assert all(film.mask == film.file.replace("/images/", "/masks/") for film in films if "Normal-3" not in film.file)
    assert [""] == [film.mask for film in films if film.file.endswith("Normal-3.png")]


def test_a_class_of_the_radiography_database_must_be_there(radiography: Path, tmp_path: Path) -> None:
    """A folder that was not unpacked is missed by its name."""
    shutil.rmtree(radiography / "Viral Pneumonia")
    answer = dataset("covid", radiography, "--out", tmp_path / "out")
    assert (2, True) == (answer.exit_code, "has no folder 'viral pneumonia'" in answer.stderr)
