"""``cxrd dataset nih``: the published tables, real and small, with films made up beside them."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxrd_models.cli import app
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import ATEL3, NIH14
from cxrd_models.dataset.nih import label_atel3
from cxrd_models.dataset.nih_tables import Entry, read_boxes, read_entries
from cxrd_models.errors import DataError
from cxrd_models.evaluate.truth import read_boxes as boxes_of

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
SIGNS = ("No Finding", "Atelectasis", "Effusion", "Atelectasis|Effusion")


def nih(tables: Path, images: Path, out: Path, *more: object) -> Result:
    """What ``cxrd dataset nih`` answers."""
    arguments = ("dataset", "nih", tables, "--images", images, "--out", out, *more)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fake(folder: Path, names: Sequence[str], shape: tuple[int, int] = (16, 16)) -> Path:
    """Films of noise under these names, in two folders as NIH packs them."""
    noise = np.random.default_rng(1)
    for i, name in enumerate(names):
        path = folder / f"images_{i % 2 + 1:03d}" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, shape).astype(np.uint8)).save(path)
    return folder


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    """Lines of the table that was written, by the film's published name."""
    with (out / "labels.csv").open(newline="", encoding="utf-8") as lines:
        return {row["orig_file"]: row for row in csv.DictReader(lines)}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Tables of 80 films of 40 patients, ten of each kind of findings; lists that give the last eight to test."""
    folder = tmp_path / "tables"
    folder.mkdir()
    names = [f"{i // 2:08d}_{i % 2:03d}.png" for i in range(80)]
    lines = [f"{n},{SIGNS[i // 2 % 4]},{i % 2},{i // 2},58,F,PA,2682,2749,0.143,0.143" for i, n in enumerate(names)]
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *lines, ""]))
    (folder / "train_val_list.txt").write_text("\n".join(names[:64]))
    (folder / "test_list.txt").write_text("\n".join(names[64:]))
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,", f"{names[2]},Atelectasis,256.0,512.0,128.0,64.0,,,"]
    boxes += [f"{names[4]},Infiltrate,0,0,1024,1024,,,", "99999999_000.png,Mass,1,2,3,4,,,", ""]
    (folder / "BBox_List_2017.csv").write_text("\n".join(boxes))
    return folder


@pytest.fixture
def images(tables: Path) -> Path:
    """Films of the tables, half as high as wide."""
    return fake(tables.parent / "films", [entry.file for entry in read_entries(tables)], (32, 64))


def test_one_collection_serves_two_tasks(tables: Path, images: Path, tmp_path: Path) -> None:
    """Fourteen findings and three classes of atelectasis; patients, ages, sexes and views as published."""
    assert 0 == nih(tables, images, tmp_path / "out").exit_code
    assert Counter(("No Finding", "Atelectasis", "Effusion", "Atelectasis|Effusion") * 20) == Counter(
        row["nih14"] for row in rows_of(tmp_path / "out").values()
    )
    three = Counter(film.labels[0] for film in read_manifest(tmp_path / "out", ATEL3).films)
    assert {"atelectasis": 40, "other": 20, "none": 20} == three
    first = rows_of(tmp_path / "out")["00000002_001.png"]
    assert ("nih-2", "58", "F", "PA", "64", "32") == tuple(
        first[name] for name in ("patient_id", "age", "sex", "view", "width", "height")
    )


def test_atelectasis_beside_others_can_be_left_out_of_the_three(tables: Path, images: Path, tmp_path: Path) -> None:
    """Such films still serve the fourteen."""
    answer = nih(tables, images, tmp_path / "out", "--drop-mixed")
    assert (0, True) == (answer.exit_code, "20 films show atelectasis and something else" in answer.stderr)
    assert 80 == len(read_manifest(tmp_path / "out", NIH14).films)
    names = {Path(film.file).name for film in read_manifest(tmp_path / "out", ATEL3).films}
    assert {n for n, r in rows_of(tmp_path / "out").items() if r["nih14"] != "Atelectasis|Effusion"} == names


@pytest.mark.parametrize(
    ("findings", "mixed", "dropped"),
    [
        ((), "none", "none"),
        (("Atelectasis",), "atelectasis", "atelectasis"),
        (("Atelectasis", "Mass"), "atelectasis", ""),
        (("Effusion", "Mass"), "other", "other"),
    ],
)
def test_three_classes_of_atelectasis(findings: tuple[str, ...], mixed: str, dropped: str) -> None:
    """None, other findings, or atelectasis; beside another finding it counts or is left out, as asked."""
    assert (mixed, dropped) == tuple(label_atel3(findings, drop_mixed=drop) for drop in (False, True))


def test_the_published_test_list_is_kept(tables: Path, images: Path, tmp_path: Path) -> None:
    """Test is the list, and val is taken from patients of train_val."""
    assert 0 == nih(tables, images, tmp_path / "out", "--official").exit_code
    splits = {name: row["split"] for name, row in rows_of(tmp_path / "out").items()}
    listed = set((tables / "test_list.txt").read_text().split())
    assert listed == {name for name, split in splits.items() if split == "test"}
    assert {"train", "val"} == {split for name, split in splits.items() if name not in listed}
    read_manifest(tmp_path / "out", NIH14)  # refuses a patient in two splits


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("both", "00000032_000.png is in train_val_list and in test_list"),
        ("neither", "00000000_000.png (row 2) is neither in train_val_list nor in test_list"),
        ("no list", "holds no test_list*.txt"),
        ("torn", "patient nih-31 is given to two splits"),
    ],
)
def test_faulty_lists_are_refused(tables: Path, images: Path, tmp_path: Path, change: str, told: str) -> None:
    """A film in both or in none, no list, or a list that parts a patient's films."""
    train, test = tables / "train_val_list.txt", tables / "test_list.txt"
    names = train.read_text().split("\n")
    if change == "both":
        train.write_text("\n".join([*names, "00000032_000.png"]))
    elif change == "neither":
        train.write_text("\n".join(names[1:]))
    elif change == "torn":
        train.write_text("\n".join(names[:-1]))
        test.write_text("\n".join([names[-1], test.read_text()]))
    else:
        test.unlink()
    answer = nih(tables, images, tmp_path / "out", "--official")
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr


def test_boxes_lie_on_the_film_as_it_is(tables: Path, images: Path, tmp_path: Path) -> None:
    """Scaled from 1024 to 64 x 32, called as the findings are, for films that were written; the judge reads them."""
    assert 0 == nih(tables, images, tmp_path / "out").exit_code
    file = rows_of(tmp_path / "out")["00000001_000.png"]["file"]
    assert [
        "file,box_set,label,x,y,w,h",
        f"{file},NIH_BBox,Atelectasis,16.0,16.0,8.0,2.0",
        f"{rows_of(tmp_path / 'out')['00000002_000.png']['file']},NIH_BBox,Infiltration,0.0,0.0,64.0,32.0",
    ] == (tmp_path / "out" / "boxes.csv").read_text().splitlines()
    assert {file} == set(boxes_of(tmp_path / "out", ("Atelectasis",)))


def test_a_comma_in_a_path_does_not_shift_a_box(tables: Path, images: Path, tmp_path: Path) -> None:
    """The name is quoted."""
    images = images.rename(tmp_path / "films, chest")
    assert 0 == nih(tables, images, tmp_path / "out").exit_code
    with (tmp_path / "out" / "boxes.csv").open(newline="") as lines:
        assert {"8.0", "64.0"} == {row["w"] for row in csv.DictReader(lines)}


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("Data_Entry_2017_v2020.csv", "_001.png,No Finding,1,0,", "_001.png,No Finds,1,0,", "row 3 (00000000_001.png)"),
        ("Data_Entry_2017_v2020.csv", "58,F,PA,2682,2749,0.143,0.143\n00000000_001", "\n00000000_001", "is cut off"),
        (
            "Data_Entry_2017_v2020.csv",
            "00000000_001.png",
            "00000000_000.png",
            "row 3: 00000000_000.png is in row 2 too",
        ),
        ("Data_Entry_2017_v2020.csv", "Patient Gender", "Gender", "has no column Patient Gender"),
        ("Data_Entry_2017_v2020.csv", "00000000_001.png", "10000000_001.png", "1 of 80 films are not below"),
        ("BBox_List_2017.csv", "256.0", "left", "row 2 (00000001_000.png) is no box"),
    ],
)
def test_a_faulty_table_is_named_by_its_row(
    tables: Path, images: Path, file: str, old: str, new: str, told: str
) -> None:
    """And nothing is written."""
    text = (tables / file).read_text()
    (tables / file).write_text(text.replace(old, new, 1))
    answer = nih(tables, images, tables.parent / "out")
    assert (2, True) == (answer.exit_code, told in answer.stderr), answer.stderr
    assert not (tables.parent / "out").exists()


def test_a_film_that_lies_twice_below_the_folder_is_refused(tables: Path, images: Path, tmp_path: Path) -> None:
    """Nobody could say which is meant."""
    fake(images / "again", ["00000003_000.png"])
    answer = nih(tables, images, tmp_path / "out")
    assert (2, True) == (answer.exit_code, "00000003_000.png is doubled" in answer.stderr)


def test_two_editions_of_the_table_read_alike(tables: Path) -> None:
    """Packed, with numbers of eight digits, ages with a letter, another name for the sex, a comma more at the end."""
    new = read_entries(tables)
    table = tables / "Data_Entry_2017_v2020.csv"
    lines = table.read_text().replace("Patient Gender", "Patient Sex").splitlines()
    cells = [line.split(",") for line in lines]
    for line in cells[1:]:
        line[3], line[4] = line[3].zfill(8), f"0{line[4]}Y"
    table.unlink()
    text = "\n".join(",".join(line) + ("," if i == 0 else "") for i, line in enumerate(cells))
    (tables / "Data_Entry_2017.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert new == read_entries(tables)
    table.write_text(HEADER)
    with pytest.raises(DataError, match=r"holds Data_Entry_2017\.csv\.gz and Data_Entry_2017_v2020\.csv"):
        read_entries(tables)


@pytest.fixture(scope="module")
def published(films: Path) -> tuple[Entry, ...]:
    """Every film of the real table, read once."""
    return read_entries(films / "nih-meta")


def test_the_real_tables_are_read_whole(films: Path, published: tuple[Entry, ...]) -> None:
    """Every film and patient of the collection, and every box on a film of it."""
    assert (112_120, 30_805) == (len(published), len({entry.patient for entry in published}))
    assert (60_361, 11_559, 227) == (
        sum(not entry.findings for entry in published),
        sum("Atelectasis" in entry.findings for entry in published),
        sum("Hernia" in entry.findings for entry in published),
    )
    boxes = read_boxes(films / "nih-meta")
    assert (984, set()) == (len(boxes), {box.file for box in boxes} - {entry.file for entry in published})
    assert all(box.label in NIH14.classes and 0 <= box.x < box.x + box.w <= 1025 for box in boxes)


def test_a_part_of_the_real_collection_is_built(films: Path, published: tuple[Entry, ...], tmp_path: Path) -> None:
    """With some of its films here: those, a subset of them in all's shares, boxes on them, and what was left out."""
    tables = films / "nih-meta"
    boxed = {box.file for box in read_boxes(tables)}
    here = [entry for entry in published if entry.file in boxed][:40] + list(published[:160])
    here = list(dict.fromkeys(here))
    images = fake(tmp_path / "films", [entry.file for entry in here])
    answer = nih(tables, images, tmp_path / "out", "--partial", "--subset", "120")
    assert 0 == answer.exit_code, answer.stderr
    assert f"{112_120 - len(here)} left out: not below the image folder" in answer.stderr
    assert f"{len(here) - 120} left out: beyond the subset" in answer.stderr
    assert 120 == len(read_manifest(tmp_path / "out", NIH14).films)
    rows = rows_of(tmp_path / "out")
    assert {row["file"] for name, row in rows.items() if name in boxed} == set(
        boxes_of(tmp_path / "out", NIH14.classes)
    )
    whole = Counter(label_atel3(entry.findings, drop_mixed=False) for entry in here)
    kept = Counter(row["label_atel3"] for row in rows.values())
    assert all(abs(whole[word] / len(here) - kept[word] / 120) < 0.1 for word in ATEL3.classes)
