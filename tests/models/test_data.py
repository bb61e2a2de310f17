"""Labels, splits and films: every fault is named with its file and row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxrd.imaging.film import as_dicom
from cxrd.imaging.preprocess import Preprocess, apply
from cxrd.pipeline import Plan, prepare
from cxrd.rules import Admission
from cxrd_models.data import films
from cxrd_models.data.augment import augment, coarser
from cxrd_models.data.films import load_films
from cxrd_models.data.lungs import load_lungs
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.shortcut import probe
from cxrd_models.data.tasks import NIH14, task_of
from cxrd_models.dataset.pictures import look
from cxrd_models.errors import DataError, RecipeError
from cxrd_models.evaluate.people import groups_of
from cxrd_models.evaluate.truth import read_boxes
from cxrd_models.recipe import AugmentRecipe, PreprocessRecipe

WriteLabels = Callable[[Path, Sequence[tuple[str, ...]]], None]
SMALL = PreprocessRecipe(height=32, width=32)
ROWS = [
    ("a.png", "train", "p1", "Mass|Nodule", "x", "PA"),
    ("b.png", "val", "p2", "No Finding", "x", "PA"),
    ("c.png", "test", "p3", "Mass", "y", "AP"),
]


def test_labels_become_targets(write_labels: WriteLabels, tmp_path: Path) -> None:
    """A pipe list sets its classes, "No Finding" none."""
    write_labels(tmp_path, ROWS)
    manifest = read_manifest(tmp_path, NIH14)
    assert [[NIH14.classes[k] for k in np.flatnonzero(row)] for row in manifest.targets()] == [
        ["Mass", "Nodule"],
        [],
        ["Mass"],
    ]


@pytest.mark.parametrize("top", [65535, 4095, 40000])
def test_a_film_of_sixteen_bits_is_learnt_as_it_is_judged(write_labels: WriteLabels, tmp_path: Path, top: int) -> None:
    """The trainer's plane is the daemon's input of the same file, to eight bits; a data set can be made of it."""
    across, down = np.meshgrid(np.linspace(0, 1, 240), np.linspace(0.2, 1, 256))
    for name, *_ in ROWS:
        Image.fromarray((across * down * top).astype(np.uint16)).save(tmp_path / name)
    write_labels(tmp_path, ROWS)
    how = Preprocess.model_validate(SMALL.model_dump())
    data = as_dicom((tmp_path / "a.png").read_bytes(), "a.png")
    served = prepare(data, "0" * 64, Plan((how,), (), 128, Admission(inversion="note"))).inputs[how]
    learnt, *_ = load_films(read_manifest(tmp_path, NIH14), SMALL)
    np.testing.assert_allclose(learnt / 255, served, atol=1 / 255)
    assert 128 > look(tmp_path / "a.png").small.mean()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("d.png", "test", "p1", "Mass", "x", "PA"), r"patient of row 5 \(d\.png, test\) is also in row 2"),
        (("d.png", "train", "p9", "Masss", "x", "PA"), r"row 5 \(d\.png\): label 'Masss'"),
        (("d.png", "train", "p9", "No Finding|Mass", "x", "PA"), r"row 5 \(d\.png\): label 'No Finding'"),
        (("d.png", "dev", "p9", "Mass", "x", "PA"), r"row 5 \(d\.png\): split 'dev'"),
        (("a.png", "train", "p1", "Mass", "x", "PA"), r"a\.png is listed more than once"),
        (("d.png", "train", "", "Mass", "x", "PA"), r"row 5 \(d\.png\): file or patient_id is empty"),
        (("", "train", "p9", "Mass", "x", "PA"), r"row 5 \(\): file or patient_id is empty"),
    ],
)
def test_a_faulty_row_is_named(write_labels: WriteLabels, tmp_path: Path, row: tuple[str, ...], message: str) -> None:
    """A patient in two splits or without a name, a foreign label, an unknown split, a film listed twice are refused."""
    write_labels(tmp_path, [*ROWS, row])
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path, NIH14)


def test_a_folder_that_cannot_serve_is_refused(write_labels: WriteLabels, tmp_path: Path) -> None:
    """No table, a missing column, an empty split and an unknown task each say what is wrong."""
    with pytest.raises(DataError, match="does not exist"):
        read_manifest(tmp_path, NIH14)
    (tmp_path / "labels.csv").write_text("file,split\n")
    with pytest.raises(DataError, match="no column patient_id, nih14"):
        read_manifest(tmp_path, NIH14)
    write_labels(tmp_path, ROWS[:2])
    with pytest.raises(DataError, match="no film of split 'test'"):
        read_manifest(tmp_path, NIH14)
    assert 2 == len(read_manifest(tmp_path, NIH14, needed=("train",)).films)
    with pytest.raises(RecipeError, match="nih15"):
        task_of("nih15")


def test_a_table_is_read_as_a_spreadsheet_saves_it(write_labels: WriteLabels, tmp_path: Path) -> None:
    """With a byte order mark, Windows' line ends, spaces around cells, and the empty cells at a row's end left out."""
    write_labels(tmp_path, ROWS)
    expected, table = read_manifest(tmp_path, NIH14), tmp_path / "labels.csv"
    boxes = "file,box_set,label,x,y,w,h\r\n a.png ,mine,Mass,1,2,3,4\r\n"
    saved = table.read_text("utf-8").replace(",", " , ").replace(" , y , AP", "").replace("\n", "\r\n")
    for name, text in ((table, saved), (tmp_path / "boxes.csv", boxes)):
        name.write_bytes(text.encode("utf-8-sig"))
    found = read_manifest(tmp_path, NIH14)
    assert [film.labels for film in expected.films] == [film.labels for film in found.films]
    assert [["x", "x", "unknown"], ["PA", "PA", "unknown"]] == [
        list(groups_of(found)[name]) for name in ("source", "view")
    ]
    assert ["a.png"] == list(read_boxes(tmp_path, NIH14.classes))
    table.write_bytes(saved.replace("Mass", "Müller").encode("latin-1"))
    with pytest.raises(DataError, match="CSV file in UTF-8"):
        read_manifest(tmp_path, NIH14)


def test_a_film_that_cannot_be_read_is_named(folder: Path) -> None:
    """A truncated or missing film names its file and row, and is never skipped."""
    manifest = read_manifest(folder, NIH14)
    whole = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"row 7: 5\.png cannot be read"):
        load_films(manifest, SMALL)
    (folder / "5.png").unlink()
    with pytest.raises(DataError, match=r"row 7: 5\.png cannot be read"):
        load_films(manifest, SMALL)


def test_films_are_read_once_as_8_bit(folder: Path) -> None:
    """[films, 1, H, W] uint8; the caller is told of each film."""
    seen: list[None] = []
    read = load_films(read_manifest(folder, NIH14), SMALL, lambda: seen.append(None))
    assert ((24, 1, 32, 32), np.dtype(np.uint8), 24) == (read.shape, read.dtype, len(seen))


def test_decoded_films_are_kept_for_the_next_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run decodes nothing, until a film changes; a run that fails leaves nothing behind."""
    manifest, cache = read_manifest(folder, NIH14), folder / "kept"
    first = load_films(manifest, SMALL, cache=cache)
    with monkeypatch.context() as blind:
        blind.setattr(films, "decode", lambda *_: pytest.fail("decoded again"))
        assert np.array_equal(first, load_films(manifest, SMALL, cache=cache))
    (folder / "5.png").write_bytes((folder / "6.png").read_bytes())
    again = load_films(manifest, SMALL, cache=cache)
    assert np.array_equal(again[5], first[6])
    (folder / "7.png").write_bytes(b"no film")
    with pytest.raises(DataError, match=r"row 9: 7\.png cannot be read"):
        load_films(manifest, SMALL, cache=cache)
    assert 2 == len(list(cache.iterdir()))


def test_drawn_lungs_are_what_a_model_learns_to_find(folder: Path) -> None:
    """The picture of column ``lung_mask`` where there is one, the heuristic elsewhere, and only when asked."""
    drawn = np.zeros((48, 40), np.uint8)
    drawn[:24] = 255
    Image.fromarray(drawn).save(folder / "lungs.png")
    manifest = with_mask(read_manifest(folder, NIH14), "lungs.png")
    found, given = load_lungs(manifest, SMALL, drawn=True), load_lungs(manifest, SMALL)
    assert np.array_equal(found[0, 0], np.repeat([255, 0], 16).astype(np.uint8)[:, None] * np.ones((1, 32), np.uint8))
    assert not np.array_equal(found[0], given[0])
    assert np.array_equal(found[1:], given[1:])


@pytest.mark.parametrize(
    ("shape", "message"), [((40, 48), r"is 48 x 40 pixels, but 0\.png is 40 x 48"), (None, "cannot be read")]
)
def test_a_mask_that_does_not_fit_its_film_is_named(folder: Path, shape: tuple[int, int] | None, message: str) -> None:
    """Another size tells of another film; a mask that is not there is never taken for empty lungs."""
    if shape:
        Image.fromarray(np.zeros(shape, np.uint8)).save(folder / "lungs.png")
    manifest = with_mask(read_manifest(folder, NIH14), "lungs.png")
    with pytest.raises(DataError, match=f"row 2: lung mask lungs.png {message}"):
        load_lungs(manifest, SMALL, drawn=True)


def with_mask(manifest: Manifest, name: str) -> Manifest:
    first, *rest = manifest.films
    return manifest.model_copy(update={"films": (first.model_copy(update={"mask": name}), *rest)})


def test_a_class_that_a_source_hardly_shows_is_not_learnt_there(write_labels: WriteLabels, tmp_path: Path) -> None:
    """With two positives asked for, Mass is known on source x alone, and for every split of it."""
    rows = [(f"{i}.png", "train", f"p{i}", "Mass" if i < 3 else "No Finding", "xy"[i > 3], "PA") for i in range(6)]
    rows += [("v.png", "val", "pv", "Mass", "x", "PA"), ("t.png", "test", "pt", "Mass", "y", "PA")]
    write_labels(tmp_path, rows)
    known = read_manifest(tmp_path, NIH14).known(2)[:, NIH14.classes.index("Mass")]
    assert known.tolist() == [1, 1, 1, 1, 0, 0, 1, 0]


def test_the_probe_finds_a_label_that_follows_from_the_source(write_labels: WriteLabels, tmp_path: Path) -> None:
    """Mass only on source x: the source alone tells it; the view does not."""
    rows = [
        (
            f"{i}.png",
            ("train", "val", "test")[i % 3],
            f"p{i}",
            "Mass" if i % 2 else "No Finding",
            "xy"[i % 2],
            "PA",
        )
        for i in range(24)
    ]
    write_labels(tmp_path, rows)
    found = {s.class_id: s for s in probe(read_manifest(tmp_path, NIH14))}["Mass"]
    assert (found.source_auroc, found.view_auroc, found.by_source) == (1.0, 0.5, {"x": 0.0, "y": 1.0})


def test_augmentation_repeats_and_stays_in_range() -> None:
    """The same generator gives the same films, in 0..1; without settings nothing changes."""
    image = torch.rand(4, 1, 32, 32)
    recipe = AugmentRecipe(rotation=10, scale=0.1, shift=0.1, contrast=0.3, brightness=0.2, blur=1, blur_sizes=(8, 8))
    one, two = (augment(image, recipe, torch.Generator().manual_seed(1))[0] for _ in range(2))
    assert torch.equal(one, two)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert not torch.allclose(one, image)
    torch.testing.assert_close(augment(image, AugmentRecipe(), torch.Generator())[0], image, rtol=0, atol=1e-5)


def test_a_coarser_film_is_what_a_small_archive_would_have_kept() -> None:
    """What a film of the small size would have held is kept, enlarged as a real small film is; finer detail goes."""
    fine = torch.rand(1, 1, 64, 64)
    small = fine.reshape(1, 1, 16, 4, 16, 4).mean(dim=(3, 5))
    shown = apply(Preprocess(id="plain", height=64, width=64), small[0, 0].numpy())
    torch.testing.assert_close(coarser(fine, 16)[0, 0], torch.from_numpy(shown[0]), rtol=0, atol=1e-5)
    assert float(coarser(fine, 16).std()) < float(fine.std()) / 2


def test_lungs_move_with_their_film() -> None:
    """Geometry is common, tone is the film's own."""
    image = torch.zeros(6, 1, 48, 48)
    image[:, :, 10:30, 8:20] = 1
    recipe = AugmentRecipe(rotation=30, scale=0.3, shift=0.2, contrast=0.2, brightness=0)
    moved, lungs = augment(image, recipe, torch.Generator().manual_seed(2), image.clone())
    assert lungs is not None
    assert not torch.allclose(lungs, image)
    bright = moved > moved.amax(dim=(1, 2, 3), keepdim=True) / 2
    assert float((bright == (lungs > 0.5)).float().mean()) > 0.99
    assert set(lungs[0].flatten().tolist()) != set(moved[0].flatten().tolist())
