"""One batch in several parts, by one process or by several: the same weights, judged and kept once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.nn import functional

from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import NIH14
from cxrd_models.recipe import Phase
from cxrd_models.train.job import Job
from cxrd_models.train.losses import Counted, counted, loss_of
from cxrd_models.train.prepare import films_on
from cxrd_models.train.ranks import joined
from cxrd_models.train.run import train
from cxrd_models.train.validate import validate
from cxrd_models.zoo import registry
from cxrd_models.zoo.contract import Batch, Output
from support.architectures import films, make
from support.training import STILL, Normed, quiet, start, tiny_recipe, weights

PHASE: dict[str, Any] = {"name": "all", "epochs": 2, "batch": 4, "rates": {"*": 1e-2}}
pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("least", [0, 2])
def test_a_batch_in_parts_teaches_what_the_whole_does(least: int, folder: Path, tmp_path: Path) -> None:
    """Gradients of the parts add up: the same weights, but for rounding, also where parts know more or less."""
    lines = [line.split(",") for line in (folder / "labels.csv").read_text("utf-8").splitlines()]
    for line in lines[17:]:
        line[4] = "b of few"  # of its films nothing is known where two positives are asked for
    for line in lines[1:17]:
        line[4] = "a"
    (folder / "labels.csv").write_text("\n".join(map(",".join, lines)), "utf-8")
    found = []
    for parts in (1, 3):
        out, guard = tmp_path / str(parts), {"min_source_positives": least}
        asked = tiny_recipe(phases=[PHASE | {"accumulate": parts}], guard=guard, monitor="loss", **STILL)
        train(asked, start(folder, out), quiet(out))
        found.append(weights(out))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-4, atol=1e-5)


def test_a_part_of_a_batch_is_never_one_film(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch norm cannot learn from one: as many parts as have two."""
    monkeypatch.setitem(registry._BUILDS, ("tiny", "small"), lambda asked: Normed(asked.classes))
    asked = tiny_recipe(phases=[PHASE | {"batch": 5, "accumulate": 4}])
    train(asked, start(folder, tmp_path / "run"), quiet(tmp_path / "run"))
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_the_losses_of_parts_are_the_loss_of_the_whole() -> None:
    """Of classes that exclude each other and have weights, and of lungs, with parts of unlike films."""
    asked = Phase.model_validate(
        PHASE | {"loss": "ce", "lambda_seg": 0.5, "lambda_attention": 0.1, "label_smoothing": 0.1}
    )
    image, lungs = films(5)
    lungs[:3] = 0  # unknown
    target, weights = functional.one_hot(torch.tensor([0, 1, 0, 0, 1]), 2).float(), torch.tensor([0.2, 1.8])
    with torch.no_grad():
        output = make("hybrid_lung_vit").eval()(image, lungs)

    def loss(rows: slice, whole: Counted | None) -> tuple[float, Counted]:
        batch = Batch(image[rows], target[rows], torch.ones(5, 2)[rows], torch.arange(5)[rows], lungs[rows])
        aux = {name: found[rows] for name, found in output.aux.items()}
        part = Output(output.logits[rows], output.heat[rows], output.embedding[rows], aux)
        count = counted(asked, batch, weights)
        return float(loss_of(asked, part, batch, weights, whole or count)), count

    all_of, whole = loss(slice(0, 5), None)
    parts = [loss(rows, whole)[0] for rows in (slice(0, 2), slice(2, 5))]
    assert sum(parts) == pytest.approx(all_of)


RANK = """
from pathlib import Path
from support.training import STILL, {model}, quiet, start, tiny_recipe
from cxrd_models.train.run import train
from cxrd_models.zoo import registry

registry._BUILDS["tiny", "small"] = lambda asked: {model}(asked.classes)
out = Path({out!r})
print("wrote", train(tiny_recipe(**STILL), start(Path({folder!r}), out), quiet(out)))
"""
"""What each of several processes runs: ``tiny`` is unknown to the command line."""


def shared(model: str, folder: Path, out: Path) -> str:
    """Train one of the tests' architectures in two processes, as torchrun starts them; returns what they print."""
    rank = out.with_suffix(".py")
    rank.write_text(RANK.format(model=model, folder=str(folder), out=str(out)), "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(rank)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_two_processes_train_what_one_does(folder: Path, tmp_path: Path) -> None:
    """Started by torchrun, two processes share each batch and leave one run, with the weights of a lone process."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    train(tiny_recipe(**STILL), start(folder, alone), quiet(alone))
    told = shared("Tiny", folder, both)
    assert ["wrote False", "wrote True"] == sorted(told.splitlines())  # the other has nothing to export
    assert len(list(both.glob("*.pt"))) == 2
    expected, actual = weights(alone), weights(both)
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value, rtol=1e-4, atol=1e-5)


def test_two_processes_judge_the_weights_that_are_kept(folder: Path, tmp_path: Path) -> None:
    """Each has seen other films, which a norm remembers, and one began elsewhere: one set of weights is judged."""
    out = tmp_path / "both"
    shared("Astray", folder, out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    best = max((line for line in log if line["event"] == "epoch"), key=lambda line: line["score"])
    manifest = read_manifest(folder, NIH14)
    seen = films_on(torch.device("cpu"), manifest, tiny_recipe(), load_films(manifest, tiny_recipe().preprocess))
    model = Normed(NIH14.classes)
    model.load_state_dict(weights(out))
    found = validate(Job(tiny_recipe(), NIH14, model, seen, out, quiet(out)), model)
    assert found.val_loss == pytest.approx(best["val_loss"], rel=1e-6)


def test_processes_wait_for_one_that_fits_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour's work of a large collection, while the others stand at the first step: torch would give them minutes."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(distributed, "init_process_group", lambda _, **more: given.update(more))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    with joined() as ranks:
        assert (1, 2) == ranks
    assert given["timeout"] > timedelta(hours=6)
