"""Everything a recipe or the command line may ask of a run beyond the plain one."""

from __future__ import annotations

import csv
import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import NIH14
from cxrd_models.errors import DataError, DivergedError, RecipeError, StoppedError
from cxrd_models.recipe import Phase
from cxrd_models.recipes import changed, parse_change
from cxrd_models.train.board import TensorBoard
from cxrd_models.train.job import Films, Job
from cxrd_models.train.losses import Counted, classification, segmentation
from cxrd_models.train.optimiser import rate_factor
from cxrd_models.train.prepare import Start, films_on
from cxrd_models.train.rates import find_rates, rates_table, steepest
from cxrd_models.train.run import train
from cxrd_models.train.state import Position
from cxrd_models.train.step import Stepper, mixed
from cxrd_models.train.validate import predict
from cxrd_models.zoo import registry
from cxrd_models.zoo.contract import Batch
from cxrd_models.zoo.memory import RareMemory
from support.architectures import films, make
from support.training import Steep, StoppingAfter, Tiny, quiet, recipe, start, tiny_recipe, weights

PHASE: dict[str, Any] = {"name": "all", "epochs": 2, "batch": 4, "rates": {"*": 1e-2}}
pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": "sgd", "momentum": 0.8, "schedule": "plateau", "plateau": 0, "min_delta": 9},
        {"optimiser": "adam", "schedule": "step", "step_epochs": 1, "accumulate": 2, "mixup": 0.4},
        {"precision": "fp16", "sampler": "balanced"},
        {"precision": "bf16", "class_weights": "balanced"},
    ],
    ids=["sgd-plateau", "adam-step-accumulate-mixup", "fp16", "bf16"],
)
def test_a_resumed_run_equals_the_straight_run_whatever_is_asked(
    options: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """Optimiser, schedule, scaler and position come back: bit for bit the same weights, in the middle of an epoch."""
    asked = tiny_recipe(phases=[PHASE | options])
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(asked, start(folder, straight), quiet(straight))
    with pytest.raises(StoppedError):
        train(asked, start(folder, broken), StoppingAfter(broken / "log.jsonl", 4))
    train(asked, start(folder, broken, resume=True), quiet(broken))
    expected, actual = weights(straight), weights(broken)
    assert all(torch.equal(expected[k], actual[k]) for k in expected)
    plain = tmp_path / "plain"
    train(tiny_recipe(), start(folder, plain), quiet(plain))
    assert not torch.equal(weights(plain)["head.weight"], expected["head.weight"])  # what was asked does something


@pytest.mark.parametrize(("precision", "told"), [("fp32", "gradient is nan"), ("fp16", "no gradient is a number")])
def test_a_gradient_that_is_no_number_moves_no_weight(
    precision: str, told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss may still be one: the run ends at once, in half precision as soon as no scale helps."""
    monkeypatch.setitem(registry._BUILDS, ("tiny", "small"), lambda asked: Steep(asked.classes))
    asked = tiny_recipe(phases=[PHASE | {"precision": precision, "epochs": 12}])
    with pytest.raises(DivergedError, match=told):
        train(asked, start(folder, tmp_path / "run"), quiet(tmp_path / "run"))
    kept = tmp_path / "run" / "last.pt"
    assert kept.exists() == (precision == "fp16")
    if kept.exists():
        assert all(torch.isfinite(value).all() for value in torch.load(kept, weights_only=True)["model"].values())


def test_a_run_that_could_tell_no_epoch_from_another_is_refused(folder: Path, tmp_path: Path) -> None:
    """Too few positives, or none beside a negative of its source: the first epoch would be kept without a word."""
    out, lone = tmp_path / "run", {"min_train": 1, "min_val": 50, "min_test": 1}
    with pytest.raises(DataError, match="no class has 50 positive validation films"):
        train(tiny_recipe(report=lone), start(folder, out), quiet(out))
    train(tiny_recipe(report=lone, monitor="loss"), start(folder, out), quiet(out))
    table = folder / "labels.csv"
    lines = [line.split(",") for line in table.read_text("utf-8").splitlines()]
    apart = [",".join([*line[:4], f"of {line[3]}", line[5]]) for line in lines[1:]]
    table.write_text("\n".join([",".join(lines[0]), *apart]), "utf-8")
    with pytest.raises(DataError, match="of the same source"):
        train(tiny_recipe(), start(folder, tmp_path / "apart"), quiet(tmp_path / "apart"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lambda_seg": 0.1}, "lungs teach tiny no seg"),
        ({"lambda_attention": 0.1}, "lungs teach tiny no attention"),
        ({"class_weights": {"Mass": 2.0}}, "class_weights are of Mass.*one for each of Atelectasis"),
        ({"rates": {"*": 0.0}}, "nothing learns"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    options: dict[str, Any], told: str, folder: Path, tmp_path: Path
) -> None:
    """It would be believed to have done something."""
    with pytest.raises(RecipeError, match=told) as refused:
        train(tiny_recipe(phases=[PHASE | options]), start(folder, tmp_path), quiet(tmp_path))
    assert refused.value.hint


def phase(**options: Any) -> Phase:
    return Phase.model_validate(PHASE | options)


def test_rates_step_down_by_epoch_and_by_want_of_progress() -> None:
    """``step`` counts epochs; ``plateau`` waits, lowers, and waits again; neither falls below the least rate."""
    stairs = phase(schedule="step", step_epochs=2, factor=0.5)
    assert [rate_factor(stairs, Position(epoch=e), 0) for e in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    patient, at = phase(schedule="plateau", plateau=1, factor=0.1), Position()
    lowered = []
    for score in (0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6):
        at = at.next_epoch(score, patient)
        lowered.append(at.lowered)
    assert lowered == [0, 0, 1, 1, 1, 2, 2, 3]
    assert rate_factor(patient, at, 0) == pytest.approx(1e-3)


def test_a_gain_too_small_counts_as_none_but_its_weights_are_kept() -> None:
    """``min_delta`` decides about patience, never about which weights are best."""
    at, asked = Position(), phase(min_delta=0.01)
    for score in (0.7, 0.705, 0.708):
        at = at.next_epoch(score, asked)
    assert (at.stale, at.best) == (2, 0.708)
    assert at.next_epoch(0.711, asked).stale == 0


@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_another_figure_may_choose_the_epoch(monitor: str, folder: Path, tmp_path: Path) -> None:
    """The score is the least loss or the best accuracy, and the log holds all of them."""
    train(tiny_recipe(phases=[PHASE], monitor=monitor), start(folder, tmp_path), quiet(tmp_path))
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["trained"] for row in rows] == ["1", "2"]
    for row in rows:
        expected = -float(row["val_loss"]) if monitor == "loss" else float(row["val_accuracy"])
        assert float(row["score"]) == pytest.approx(expected)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "focal", "focal_gamma": 0.5},
        {"loss": "asymmetric", "gamma_negative": 0.5, "gamma_positive": 0.5, "clip": 0.05},
    ],
    ids=["focal", "asymmetric"],
)
def test_a_film_that_is_judged_for_certain_has_a_slope(options: dict[str, Any]) -> None:
    """A root has none at 0, and one film whose loss is 0 made no number of every weight."""
    logits = torch.tensor([[40.0, -40.0, -40.0, 40.0, 0.1]], requires_grad=True)
    target, known = torch.tensor([[1.0, 0, 1, 0, 1]]), torch.ones(1, 5)
    batch = Batch(torch.zeros(1, 1, 2, 2), target, known, torch.arange(1))
    found = classification(phase(**options), logits, batch, torch.ones(5), Counted(5, 0))
    (slope,) = torch.autograd.grad(found, logits)
    assert bool(torch.isfinite(slope).all())
    assert float(slope[0, 4]) < 0


def test_a_class_without_films_does_not_outweigh_the_others(folder: Path, tmp_path: Path) -> None:
    """It counts like the rarest class that has some; of 14 classes these films show three."""
    manifest = read_manifest(folder, NIH14)
    seen = films_on(torch.device("cpu"), manifest, tiny_recipe(), load_films(manifest, tiny_recipe().preprocess))
    job = Job(tiny_recipe(), NIH14, Tiny(NIH14.classes), seen, tmp_path, quiet(tmp_path))
    found = dict(zip(NIH14.classes, Stepper(job, phase(class_weights="balanced")).weights.tolist(), strict=True))
    share = dict(zip(NIH14.classes, seen.target[seen.train].mean(dim=0).tolist(), strict=True))
    shown = [name for name in NIH14.classes if share[name]]
    assert 3 == len(shown)
    assert found["Hernia"] == pytest.approx(max(found[name] for name in shown))
    assert found["Mass"] / found["Effusion"] == pytest.approx(share["Effusion"] / share["Mass"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"architecture": "medconvformer"}, "classes that exclude each other, task nih14 has none"),
        ({"architecture": "deit_scm", "preprocess": {"height": 70, "width": 70}}, "films of 70 x 70 pixels"),
    ],
    ids=["ensemble", "size"],
)
def test_an_architecture_that_does_not_fit_is_refused(
    options: dict[str, Any], told: str, folder: Path, tmp_path: Path
) -> None:
    """A blend of one class is always sure of it, and a film that is no whole number of cells ended in a traceback."""
    with pytest.raises(RecipeError, match=told):
        train(tiny_recipe(phases=[PHASE], **options), start(folder, tmp_path), quiet(tmp_path))


def test_mixup_blends_films_labels_and_lungs_alike() -> None:
    """A blend of two films is labelled as one, and known only where both are; the memory takes no blend."""
    image = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    target, known = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    batch = mixed(Batch(image, target, known, torch.arange(2), image), 0.75, torch.tensor([1, 0]))
    torch.testing.assert_close(batch.image[:, 0, 0, 0], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(batch.target, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    assert batch.known.tolist() == [[0, 1], [0, 1]]
    assert batch.mask is not None
    memory = RareMemory(2, (0,), slots=4, k=1, weights="softmax", tau=0.1)
    memory.write(torch.ones(2, 2), batch.target, batch.ids)
    assert not memory.valid.any()
    memory.write(torch.ones(2, 2), target, batch.ids)
    assert int(memory.valid.sum()) == 1


def test_a_recipe_is_changed_by_path() -> None:
    """Numbers, words, lists and rates; what leads nowhere or does not fit is refused by name."""
    given = ("phases.0.batch=2", 'phases.0.rates."head.*"=5e-4', "model.k=3", "monitor=loss", "seed=9")
    found = changed(recipe(), dict(map(parse_change, given)))
    assert (found.phases[0].batch, found.phases[0].rates["head.*"]) == (2, 5e-4)
    assert (found.model["k"], found.monitor, found.seed) == (3, "loss", 9)
    with pytest.raises(RecipeError, match=r"no phases\.9\.batch"):
        changed(recipe(), {"phases.9.batch": 2})
    with pytest.raises(RecipeError, match=r"phases\.0\.epochs.*from phases\.0\.epochs=0"):
        changed(recipe(), {"phases.0.epochs": 0})
    with pytest.raises(RecipeError, match="changes nothing"):
        parse_change("phases.0.batch")


def test_rates_are_tried_and_the_fastest_told(folder: Path, tmp_path: Path) -> None:
    """The loss over 80 rates is written down and nothing is trained; the steepest fall is the one to take."""
    factors = [float(x) for x in np.geomspace(1e-3, 1e2, 50)]
    losses = [1 / (1 + math.exp(3 * math.log10(f))) for f in factors]
    assert 0.5 < steepest(factors, losses) < 2
    found = find_rates(tiny_recipe(), start(folder, tmp_path), "all", quiet(tmp_path))
    with (tmp_path / "rates.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == len(found.factor) + 1 > 10
    assert not (tmp_path / "best.pt").exists()
    console = Console(file=StringIO(), width=100)
    console.print(rates_table(found))
    assert "phase all" in console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    with pytest.raises(RecipeError, match=r"no phase tail.*it has: all"):
        find_rates(tiny_recipe(), start(folder, tmp_path), "tail", quiet(tmp_path))


def test_tensorboard_shows_curves_gradients_and_what_the_model_sees(folder: Path, tmp_path: Path) -> None:
    """Event files hold the figures of each epoch, gradient histograms, heat and feature maps of several sizes."""
    asked: Start = start(folder, tmp_path)._replace(tensorboard=True)
    train(tiny_recipe(), asked, quiet(tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    assert {"step/loss", "epoch/loss", "epoch/val_loss", "epoch/val_accuracy", "epoch/val_auroc"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("epoch/val_loss")] == [1, 2]
    assert any(name.startswith("gradient/head") for name in tags["histograms"])
    assert any(name.startswith("heat") for name in tags["images"])
    assert {name.split("/")[1] for name in tags["images"] if name.startswith("features/")} == {"15x15", "7x7"}


def test_tensorboard_counts_steps_over_phases_and_a_stopped_run_loses_none(folder: Path, tmp_path: Path) -> None:
    """A phase of larger batches goes on where the one before ended; a stopped run writes what was waiting."""
    phases = [PHASE | {"epochs": 1}, PHASE | {"name": "more", "batch": 6}]
    asked = start(folder, tmp_path)._replace(tensorboard=True)
    with pytest.raises(StoppedError):
        train(tiny_recipe(phases=phases), asked, StoppingAfter(tmp_path / "log.jsonl", 6))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("step/loss")] == list(range(6))


def test_tensorboard_shows_each_head_for_itself(tmp_path: Path) -> None:
    """Not their mean: the heads of a transformer look at different places."""
    image = (films(2)[0] * 255).to(torch.uint8)
    board = TensorBoard(tmp_path, image)
    board.epoch(make("deit_scm"), 1, {})
    board.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    shown = {head: events.Images(f"attention/{head}")[0].encoded_image_string for head in range(3)}
    assert len(set(shown.values())) == 3


def test_an_epoch_tells_how_well_lungs_are_drawn() -> None:
    """The mean over films whose lungs are known; a model that draws none has no figure."""
    image, lungs = (((part * 255).to(torch.uint8)) for part in films(3))
    lungs[1] = 0  # unknown
    target = torch.zeros(3, 2)
    seen = Films(image, target, target, np.array(["a"] * 3), torch.arange(0), torch.arange(3), lungs)
    model = make("hybrid_lung_vit")
    with torch.no_grad():
        drawn = model(image.float() / 255, lungs.float() / 255).aux["seg"]
    expected = [float(segmentation(drawn[i : i + 1], lungs[i : i + 1].float() / 255, 1)) for i in (0, 2)]
    np.testing.assert_allclose(predict(model, seen, seen.val)[1], expected, rtol=1e-4)
    assert predict(make("deit_scm"), seen, seen.val)[1] == []
