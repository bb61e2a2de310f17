"""Labels of one's own: from class folders or a table to a package that the node loads, without a line of code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxrd.inference.engine import load
from cxrd.inference.packages import read_package
from cxrd.vocabulary import PRIVATE_SCHEME
from cxrd_models.cli import app
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.own import asked, own_task
from cxrd_models.data.tasks import Task
from cxrd_models.errors import DataError
from cxrd_models.export.terms import term_of
from cxrd_models.recipes import read_recipe

RECIPE = """
id = "own_classes"
version = "1.0.0"
title = "Tuberculosis"
architecture = "charm"
size = "small"
task = {task}
data_licence = "made for this test"
[preprocess]
height = 64
width = 64
[model]
reduction = 128
hidden = 16
[report]
min_train = 1
min_val = 1
min_test = 1
[use]
text = "tests"
views = ["PA"]
[[phases]]
name = "head"
epochs = 1
batch = 4
loss = "bce"
[phases.rates]
"head.*" = 1e-3
"""


def cxrd(*arguments: object) -> Result:
    """What the trainer's command line answers."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def recipe(folder: Path, task: str, more: str = "") -> Path:
    """A recipe in a file of the user's."""
    path = folder / "mine.toml"
    path.write_text(RECIPE.format(task=task) + more)
    return path


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Twenty films of twenty people in two class folders that no task knows by name."""
    random = np.random.default_rng(1)
    for i in range(20):
        path = tmp_path / "films" / ("Normal", "Tuberculosis")[i % 2] / f"patient{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((random.integers(0, 120, (48, 40)) + 100 * (i % 2)).astype(np.uint8)).save(path)
    return tmp_path / "films"


def test_class_folders_of_ones_own_become_a_package(films: Path, tmp_path: Path) -> None:
    """Dataset, train, export, evaluate by command; the normal word is no finding, the finding has a code."""
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "packages"
    made = cxrd("dataset", "folder", films, "--out", data, "--ratios", "0.6,0.2,0.2")
    assert 0 == made.exit_code, made.output
    assert 'task = "own"' in made.stderr
    trained = cxrd("train", recipe(tmp_path, '"own"'), "--data", data, "--out", run, "--package", out)
    assert 0 == trained.exit_code, trained.output
    package = out / "own_classes" / "1.0.0"
    manifest = read_package(package)[0]
    (only,) = manifest.classes
    assert ("binary", "Tuberculosis", PRIVATE_SCHEME) == (manifest.task, only.id, only.code.scheme)
    assert "Tuberculosis" == only.code.meaning
    assert (2, 1) == load(package, provider="cpu").run(np.full((2, 1, 64, 64), 0.5, np.float32)).probs.shape
    judged = cxrd("evaluate", package, "--data", data, "--out", tmp_path / "evaluation", "--panels", 0, "--json")
    assert 0 == judged.exit_code, judged.output
    assert ["Tuberculosis"] == [c["class_id"] for c in json.loads(judged.stdout)["classes"]]


def test_a_recipe_may_spell_its_task_and_codes_out(films: Path, tmp_path: Path) -> None:
    """Any table, classes in the order asked for, and the code that a report shall carry."""
    data, listed = tmp_path / "data", tmp_path / "table.csv"
    lines = [f"{p.relative_to(films).as_posix()},{p.parent.name},{p.stem}" for p in sorted(films.rglob("*.png"))]
    listed.write_text("\n".join(["path,verdict,pid", *lines]))
    columns = ("--file", "path", "--label", "verdict", "--patient", "pid", "--ratios", "0.6,0.2,0.2")
    made = cxrd("dataset", "csv", listed, "--images", films, "--out", data, *columns)
    assert 0 == made.exit_code, made.output
    task = '{id = "tb", classes = ["Tuberculosis"], kind = "binary", absent = "Normal"}'
    code = '[terms.Tuberculosis]\ncode = {value = "56717001", scheme = "SCT", meaning = "Tuberculosis"}\n'
    mine = read_recipe(str(recipe(tmp_path, task, code)))
    found = read_manifest(data, asked(mine.task, data))
    assert (20, 10) == (len(found.films), found.targets().sum())
    assert "56717001" == term_of("Tuberculosis", mine.terms).code.value


def table(folder: Path, *cells: str, column: str = "label") -> Path:
    """A data set of these labels."""
    rows = [f"{i}.png,train,p{i},{cell}" for i, cell in enumerate(cells)]
    (folder / "labels.csv").write_text("\n".join([f"file,split,patient_id,{column}", *rows]) + "\n")
    return folder / "labels.csv"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("tb", "Normal"), (("tb",), "binary", "Normal")),
        (("tb", "silicosis"), (("silicosis", "tb"), "binary", "")),
        (("tb", "silicosis", "normal"), (("normal", "silicosis", "tb"), "multiclass", "")),
        (("tb|silicosis", "tb", "No Finding"), (("silicosis", "tb"), "multilabel", "No Finding")),
    ],
)
def test_the_words_of_a_data_set_are_its_task(cells: tuple[str, ...], expected: object, tmp_path: Path) -> None:
    """One finding or none, one of several, or several at once: the cells tell which."""
    task = own_task(table(tmp_path, *cells))
    assert expected == (task.classes, task.kind, task.absent)


@pytest.mark.parametrize(
    ("cells", "column", "told"),
    [
        (("tb", "tb"), "label", "nothing to learn"),
        (("", ""), "label", "tells nothing"),
        (("tb", "normal", "No Finding"), "label", "both mean a normal film"),
        (("Mass",), "nih14", "no column label"),
    ],
)
def test_labels_that_make_no_task_are_refused(cells: tuple[str, ...], column: str, told: str, tmp_path: Path) -> None:
    """One class, no label, two words for normal, and labels of a task known by name."""
    table(tmp_path, *cells, column=column)
    with pytest.raises(DataError, match=told):
        asked("own", tmp_path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"classes": ("a", "a")}, "named twice"),
        ({"classes": ("a", "b", "c"), "kind": "binary"}, "binary is one class"),
        ({"classes": ("a",), "kind": "multiclass"}, "one class is binary"),
        ({"classes": ()}, "at least 1 item"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(given: dict[str, object], told: str) -> None:
    """A recipe cannot ask one class of several, or a class twice."""
    with pytest.raises(ValueError, match=told):
        Task.model_validate({"id": "mine", **given})


def test_a_softmax_over_one_class_is_refused(films: Path, tmp_path: Path) -> None:
    """It would always be sure; the message names the loss that learns."""
    data = tmp_path / "data"
    assert 0 == cxrd("dataset", "folder", films, "--out", data, "--ratios", "0.6,0.2,0.2").exit_code
    mine = recipe(tmp_path, '"own"')
    answer = cxrd("train", mine, "--data", data, "--out", tmp_path / "run", "--set", "phases.0.loss=ce")
    assert (2, True) == (answer.exit_code, "each class for itself" in answer.output)


def test_a_known_word_keeps_its_code_in_any_case_and_others_get_one_of_their_own() -> None:
    """NORMAL is not reported as a finding, and two names never share a code."""
    assert term_of("normal", {}) == term_of("NORMAL", {}) == term_of("healthy", {})
    assert term_of("Pneumonia", {}).code == term_of("PNEUMONIA", {}).code
    first, second = (term_of(f"a very long name of a finding {i}", {}).code for i in (1, 2))
    assert first.value != second.value
    assert max(len(first.value), len(second.value)) <= 16
