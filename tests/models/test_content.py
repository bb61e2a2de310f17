"""The data of the content check: patients stay in one split, and what is drawn is drawn again alike."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrd_models.data.tasks import CONTENT
from cxrd_models.dataset.content import Wishes, fold_of, read_content
from cxrd_models.dataset.drawn import DRAWN, OF_A_FILM
from cxrd_models.errors import DataError
from cxrd_models.recipes import read_recipe


@pytest.mark.parametrize("name", [*DRAWN, *OF_A_FILM])
def test_a_drawing_is_the_same_for_the_same_seed(name: str) -> None:
    """And another for another, but for what chance has no part in."""
    film = np.random.default_rng(1).integers(0, 256, (120, 100), np.uint8)

    def draw(seed: int) -> bytes:
        random = np.random.default_rng(seed)
        picture = DRAWN[name](random) if name in DRAWN else OF_A_FILM[name](film, random)
        assert picture.dtype == np.uint8
        assert picture.ndim == 2
        return picture.tobytes()

    assert draw(0) == draw(0)
    assert len({draw(seed) for seed in range(8)}) > (0 if name == "inverted" else 1)


def test_each_foreign_picture_is_judged_by_one_fold() -> None:
    """Four folds judge everything once; most of the rest is learnt."""
    splits = [[fold_of(number, fold) for number in range(12)] for fold in range(4)]
    assert all(sum(split[number] == "test" for split in splits) == 1 for number in range(12))
    assert all(split.count("train") >= 6 for split in splits)


def collection(folder: Path) -> Path:
    """Nine frontal films of nine patients, four laterals, and a photo; a lateral's patient has frontal films too."""
    (folder / "ood").mkdir(parents=True)
    random = np.random.default_rng(0)

    def picture(name: str) -> str:
        Image.fromarray(random.integers(0, 255, (90, 80), np.uint8)).save(folder / name)
        return name

    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(("file", "source", "split", "patient_id"))
        for i, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
            table.writerow((picture(f"f{i}.png"), "here", split, f"p{i}"))
    with (folder / "ood" / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(("file", "kind", "patient_id"))
        for i in range(4):
            table.writerow((picture(f"ood/l{i}.png"), "lateral", f"p{i + 4}"))
        table.writerow((picture("ood/cat.png"), "photo", ""))
    return folder


def test_a_patient_is_in_one_split_whatever_the_film(tmp_path: Path) -> None:
    """Frontal films follow their patient's lateral; a lateral follows a frontal film that is to be judged."""
    draft = read_content(collection(tmp_path / "in"), tmp_path / "out", Wishes())
    home: dict[str, set[str]] = {}
    for row in draft.rows:
        home.setdefault(row.patient_id, set()).add(row.split)
    assert all(len(splits) == 1 for splits in home.values())
    judged = [row for row in draft.rows if row.source == "ood" and row.split == "test"]
    assert {"p7", "ood/cat.png"} <= {row.patient_id for row in judged}
    assert set(CONTENT.classes) == {row.labels[CONTENT.column] for row in draft.rows}
    assert all(Path(row.file).is_relative_to(tmp_path / "out") for row in draft.rows)  # no path of this machine


def test_a_collection_without_foreign_pictures_is_told(tmp_path: Path) -> None:
    """Their table is named."""
    folder = collection(tmp_path / "in")
    (folder / "ood" / "labels.csv").unlink()
    with pytest.raises(DataError, match="ood"):
        read_content(folder, tmp_path / "out", Wishes())


def test_the_recipe_learns_the_head_alone() -> None:
    """With six laterals the published features are better left as they are."""
    recipe = read_recipe("film_content")
    assert [["head.*"]] == [list(phase.rates) for phase in recipe.phases]
