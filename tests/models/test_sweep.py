"""Searches: every point a run, the best one told, an interrupted search gone on with."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from cxrd_models.errors import RecipeError, StoppedError
from cxrd_models.sweep import search
from cxrd_models.sweep.picture import draw, trials_table
from cxrd_models.sweep.search import sweep
from cxrd_models.sweep.space import grid_axis, range_axis, size_of
from support.training import quiet, start, tiny_recipe, weights

pytestmark = pytest.mark.usefixtures("tiny")
GRID = (grid_axis("seed=1,2"), grid_axis("phases.0.batch=4,6"))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_grid_is_walked_wholly_and_its_best_comes_first(folder: Path, tmp_path: Path) -> None:
    """Four points, four runs with weights, a table in order of the validation score, and a picture."""
    out = tmp_path / "search"
    found = sweep(tiny_recipe(), start(folder, out), GRID, 0, quiet(tmp_path))
    assert {(t.values["seed"], t.values["phases.0.batch"]) for t in found} == {(1, 4), (1, 6), (2, 4), (2, 6)}
    scores = [float(row["score"]) for row in rows(out)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 4
    assert weights(out / rows(out)[0]["run"])
    draw(out, found)
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    told = Console(file=StringIO(), width=120)
    told.print(trials_table(found))
    assert "Best of 4 runs" in told.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


def test_an_interrupted_search_goes_on_with_the_run_it_was_stopped_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second run: the same command trains that point again and leaves no point out, and none twice."""
    out = tmp_path / "search"
    plain = search._TrialWatch
    begun = 0

    class Impatient(plain):  # type: ignore[misc, valid-type]
        """A watch whose person presses Ctrl-C in the second run."""

        @property
        def stopping(self) -> bool:
            return begun == 2

        @stopping.setter
        def stopping(self, value: bool) -> None:
            nonlocal begun
            begun += 1

    monkeypatch.setattr(search, "_TrialWatch", Impatient)
    with pytest.raises(StoppedError, match="finished runs are kept"):
        sweep(tiny_recipe(), start(folder, out), GRID, 0, quiet(tmp_path))
    monkeypatch.setattr(search, "_TrialWatch", plain)
    assert len(rows(out)) == 1
    found = sweep(tiny_recipe(), start(folder, out), GRID, 0, quiet(tmp_path))
    points = [(t.values["seed"], t.values["phases.0.batch"]) for t in found]
    assert sorted(points) == [(1, 4), (1, 6), (2, 4), (2, 6)]
    assert sweep(tiny_recipe(), start(folder, out), GRID, 0, quiet(tmp_path)) == found


def test_a_run_is_judged_by_the_weights_that_it_keeps(tmp_path: Path) -> None:
    """A probe that no epoch beats is what the run ends with, and its score is the run's."""

    class Trial:
        """What the watch asks of optuna's."""

        def report(self, score: float, trained: int) -> None:
            """Hear of an epoch."""

        def should_prune(self) -> bool:
            return False

    watch = search._TrialWatch(tmp_path / "log.jsonl", quiet(tmp_path), Trial())  # type: ignore[arg-type]
    watch.log("probe", score=0.9)
    watch.log("epoch", score=0.8, trained=1)
    assert 0.9 == watch.best


def test_a_run_that_was_cut_short_keeps_no_position(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody goes on with it, and its optimiser is the larger part of it."""

    def hopeless(*_: object) -> None:
        for name in ("last.pt", "best.pt"):
            (tmp_path / "0000" / name).write_bytes(b"weights")
        raise optuna.TrialPruned

    monkeypatch.setattr(search, "train", hopeless)
    with pytest.raises(optuna.TrialPruned):
        search._run(tiny_recipe(), start(folder, tmp_path), optuna.trial.FixedTrial({}), quiet(tmp_path))  # type: ignore[arg-type]
    assert ["best.pt"] == [path.name for path in (tmp_path / "0000").glob("*.pt")]


def test_ranges_are_drawn_from_a_seed(folder: Path, tmp_path: Path) -> None:
    """The same search draws the same points, within its bounds; hopeless runs may be stopped."""
    axes = (range_axis("phases.0.batch=2:6"), range_axis("phases.0.weight_decay=log:1e-4:1e-1"))
    found = [sweep(tiny_recipe(), start(folder, tmp_path / n), axes, 2, quiet(tmp_path), prune=True) for n in "ab"]
    assert [t.values for t in found[0]] == [t.values for t in found[1]]
    for trial in found[0]:
        assert 2 <= trial.values["phases.0.batch"] <= 6
        assert isinstance(trial.values["phases.0.batch"], int)
        assert 1e-4 <= trial.values["phases.0.weight_decay"] <= 1e-1


def test_what_cannot_be_searched_is_refused(folder: Path, tmp_path: Path) -> None:
    """No axis, a range without a number of runs, a path that the recipe lacks, another search's folder."""
    out = tmp_path / "search"
    for text in ("model.k", "model.k="):
        with pytest.raises(RecipeError, match="names nothing to try"):
            grid_axis(text)
    for text in ("seed=3", "seed=3:1", "seed=log:0:1", "seed=a:b"):
        with pytest.raises(RecipeError, match="is no range"):
            range_axis(text)
    assert size_of([*GRID, range_axis("seed=1:9")]) == 0
    with pytest.raises(RecipeError, match="needs --grid"):
        sweep(tiny_recipe(), start(folder, out), (range_axis("seed=1:9"),), 0, quiet(tmp_path))
    with pytest.raises(RecipeError, match=r"no phases\.3\.batch"):
        sweep(tiny_recipe(), start(folder, out), (grid_axis("phases.3.batch=2"),), 0, quiet(tmp_path))
    sweep(tiny_recipe(), start(folder, out), (grid_axis("seed=1"),), 0, quiet(tmp_path))
    with pytest.raises(RecipeError, match="another search"):
        sweep(tiny_recipe(), start(folder, out), (grid_axis("seed=2"),), 0, quiet(tmp_path))
