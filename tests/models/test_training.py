"""A run from folder to calibrated weights: resumed, stopped, refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cxrd_models.cli import app
from cxrd_models.errors import DataError, DivergedError, RecipeError, StoppedError, WeightsError
from cxrd_models.recipes import read_recipe
from cxrd_models.train.curves import draw_curves
from cxrd_models.train.run import train
from support.training import PHASES, StoppingAfter, quiet, recipe, start, told, weights

WriteLabels = Callable[[Path, Sequence[tuple[str, ...]]], None]


def test_a_resumed_run_equals_the_straight_run(folder: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch and at a phase's start, then resumed: bit for bit the same result."""
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(recipe(), start(folder, straight), quiet(straight))
    for steps, resume in ((4, False), (2, True)):
        go = start(folder, broken, resume=resume)
        with pytest.raises(StoppedError):
            train(recipe(), go, StoppingAfter(broken / "log.jsonl", steps))
    watch = quiet(broken)
    train(recipe(), start(folder, broken, resume=True), watch)
    assert "going on with finetune 2/2, step 1" in told(watch)
    expected, actual = weights(straight), weights(broken)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[k], actual[k]) for k in expected)
    calibration = "calibration.json"
    assert (straight / calibration).read_text() == (broken / calibration).read_text()


def test_resuming_with_another_recipe_or_data_is_refused(
    write_labels: WriteLabels, folder: Path, tmp_path: Path
) -> None:
    """A run goes on only as what it was begun as, and never over another run."""
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(recipe(), start(folder, out), StoppingAfter(out / "log.jsonl", 1))
    with pytest.raises(RecipeError, match="holds a run already"):
        train(recipe(), start(folder, out), quiet(out))
    with pytest.raises(RecipeError, match=r"another recipe \(it was begun by: cxrd train tiny --data"):
        train(recipe(seed=6), start(folder, out, resume=True), quiet(out))
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()[1:]]
    write_labels(folder, [tuple(row) for row in rows[:-1]])
    with pytest.raises(RecipeError, match="another data"):
        train(recipe(), start(folder, out, resume=True), quiet(out))


def test_a_full_disk_is_told_and_the_run_can_be_begun_anew(folder: Path, tmp_path: Path) -> None:
    """No traceback, no half a checkpoint; a folder with ``best.pt`` alone is no run, and was refused as one."""
    out = tmp_path / "run"
    go = start(folder, out)
    (out / "last.partial").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"last\.pt cannot be written: .*No space left"):
        train(recipe(), go, quiet(out))
    assert {"best.pt"} == {path.name for path in out.iterdir() if path.suffix in (".pt", ".partial")}
    train(recipe(phases=PHASES[:1]), go, quiet(out))
    assert (out / "calibration.json").exists()


def test_a_folder_that_cannot_be_written_is_told_in_a_line(folder: Path, tmp_path: Path) -> None:
    """A file in the place of ``--out`` is an error of the person's, not of the program's."""
    (tmp_path / "run").write_text("")
    given = ["train", "charm", "--data", str(folder), "--out", str(tmp_path / "run")]
    answer = CliRunner().invoke(app, given)
    assert (2, True) == (answer.exit_code, answer.stderr.startswith("error: [Errno 17]")), answer.stderr


def test_a_log_that_a_power_cut_ended_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Half a line costs its epoch a point of the curves, and never the run its end."""
    line = {"event": "epoch", "trained": 1, "phase": "a", "loss": 1, "val_loss": 1, "val_accuracy": 1, "val_auroc": 1}
    half = json.dumps(line | {"trained": 2})[:30]
    (tmp_path / "log.jsonl").write_text(f"{json.dumps(line)}\n{half}{half}\n{json.dumps(line | {'trained': 3})}\n")
    draw_curves(tmp_path)
    assert ["1", "3"] == [row.split(",")[0] for row in (tmp_path / "history.csv").read_text().splitlines()[1:]]


def test_a_checkpoint_of_another_architecture_is_refused(folder: Path, tmp_path: Path) -> None:
    """The identity in the checkpoint is read before its weights."""
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(recipe(), start(folder, out), StoppingAfter(out / "log.jsonl", 1))
    content = torch.load(out / "last.pt", weights_only=True)
    torch.save({**content, "identity": "deit_scm small atel3"}, out / "last.pt")
    with pytest.raises(WeightsError, match="written for deit_scm small atel3"):
        train(recipe(), start(folder, out, resume=True), quiet(out))


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    """An absurd rate ends in DivergedError that names the place; the last good epoch stays."""
    out = tmp_path / "run"
    wild = [PHASES[0], {**PHASES[1], "rates": {"head.*": 1e30}, "clip_norm": 1e30, "schedule": "constant"}]
    with pytest.raises(DivergedError, match="finetune"):
        train(recipe(phases=wild), start(folder, out), quiet(out))
    assert all(torch.isfinite(v).all() for v in weights(out).values() if v.is_floating_point())


def test_published_weights_must_fit(folder: Path, tmp_path: Path) -> None:
    """A missing key is named, and nothing is trained."""
    init = tmp_path / "other.pth"
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, init)
    with pytest.raises(WeightsError, match=r"missing features\.0\.1\.weight"):
        train(recipe(), start(folder, tmp_path / "run", init=init), quiet(tmp_path / "run"))


def test_a_pattern_that_matches_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    """A recipe written for another architecture does not train silently with frozen parts."""
    phases = [{**PHASES[0], "rates": {"denseblock4.*": 1e-4}}]
    with pytest.raises(RecipeError, match=r"denseblock4\.\* matches no parameter"):
        train(recipe(phases=phases), start(folder, tmp_path / "run"), quiet(tmp_path / "run"))


def test_the_log_has_a_line_for_each_epoch(folder: Path, tmp_path: Path) -> None:
    """JSON lines with phase, epoch, loss and validation score."""
    out = tmp_path / "run"
    train(recipe(phases=PHASES[:1]), start(folder, out), quiet(out))
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(e["event"], e["phase"], e["epoch"]) for e in events] == [("epoch", "head", 1)]


def test_every_recipe_of_the_repository_is_valid(root: Path) -> None:
    """What lies in config/train can be read."""
    names = [path.stem for path in (root / "config" / "train").glob("*.toml")]
    assert "charm" in names
    assert names == [read_recipe(name).id for name in names]


def test_an_unknown_recipe_names_the_known_ones() -> None:
    """A typing error in a recipe's name ends with the list of names."""
    with pytest.raises(RecipeError, match=r"known: .*charm"):
        read_recipe("charme")
