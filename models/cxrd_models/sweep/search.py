"""Runs a search: each point is a whole training run in a folder of its own, judged on validation films alone."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from cxrd.findings import Value
from cxrd_models.errors import DivergedError, RecipeError, StoppedError
from cxrd_models.recipe import Recipe
from cxrd_models.recipes import changed
from cxrd_models.sweep.space import Axis, size_of
from cxrd_models.train.job import LAST
from cxrd_models.train.prepare import Start
from cxrd_models.train.run import train
from cxrd_models.train.watch import Watch

STORE, TABLE = "sweep.db", "sweep.csv"
_NAME, _STOPPED = "sweep", "stopped"


class Trial(Value):
    """One run of a search.

    Attributes
    ----------
    number : int
        Name of its folder.
    state : str
        ``complete``, ``pruned`` (hopeless half-way), ``fail`` (its loss was no number) or ``running``.
    score : float or None
        Best validation score by the recipe's monitor.
    values : dict
        What was set, by path.
    """

    number: int
    state: str
    score: float | None
    values: dict[str, Any]


def sweep(
    recipe: Recipe, start: Start, axes: Sequence[Axis], trials: int, watch: Watch, *, prune: bool = False
) -> tuple[Trial, ...]:
    """Search, going on where an earlier call on the same folder stopped; best first.

    Parameters
    ----------
    start : Start
        Its ``out`` is the search's folder; its ``resume`` is not looked at.
    axes : sequence of Axis
        Values alone make a grid, walked wholly; with a range among them points are drawn (TPE, seeded).
    trials : int
        Runs in all; 0 takes the grid's size.
    prune : bool
        Stop runs that are worse than the median of the earlier ones at the same epoch.

    Raises
    ------
    RecipeError
        Nothing to vary, a path that the recipe lacks, a range without ``trials``, or another search's folder.
    StoppedError
        A stop was asked for; the same command goes on.
    """
    total = trials or size_of(axes)
    if not axes or not total:
        raise RecipeError("a search needs --grid, or --range with --trials", hint="for example --grid model.k=2,3,4")
    for axis in axes:
        changed(recipe, {axis.path: axis.values[0] if axis.values else _bound(axis)})
    study = _study(recipe, start.out, axes, prune=prune)
    left = total - sum(trial.state.is_finished() and _STOPPED not in trial.user_attrs for trial in study.trials)

    def objective(trial: optuna.Trial) -> float:
        chosen = {axis.path: _suggest(trial, axis) for axis in axes}
        watch.say(f"run {trial.number}: " + ", ".join(f"{k}={v}" for k, v in chosen.items()))
        return _run(changed(recipe, chosen), start, trial, watch)

    def stop(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        write_table(start.out, _trials(study))
        if _STOPPED in trial.user_attrs:
            study.enqueue_trial(trial.params)  # it comes first when the search goes on
            study.stop()

    if left > 0:
        study.optimize(objective, n_trials=left, catch=(DivergedError, StoppedError), callbacks=[stop])
    if study.trials[-1].state == optuna.trial.TrialState.WAITING:
        raise StoppedError("stopped on request; finished runs are kept", hint="the same command goes on")
    return _trials(study)


class _TrialWatch(Watch):
    """Tells the search of each epoch, and ends the run where the search asks for it."""

    def __init__(self, log: Path, watch: Watch, trial: optuna.Trial) -> None:
        super().__init__(log, watch.console)
        self._trial, self.best = trial, -math.inf

    def log(self, event: str, **values: Any) -> None:
        """Append one JSON line; report an epoch's score."""
        super().log(event, **values)
        if event in ("probe", "epoch"):  # the probe's weights may be the ones that are kept
            self.best = max(self.best, values["score"])
        if event == "epoch":
            self._trial.report(values["score"], values["trained"])
            if self._trial.should_prune():
                raise optuna.TrialPruned


def _run(recipe: Recipe, start: Start, trial: optuna.Trial, watch: Watch) -> float:
    out = start.out / f"{trial.number:04d}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    own = _TrialWatch(out / "log.jsonl", watch, trial)
    try:
        train(recipe, start._replace(out=out, resume=False), own)
    except StoppedError:
        trial.set_user_attr(_STOPPED, value=True)
        raise
    except optuna.TrialPruned:
        (out / LAST).unlink(missing_ok=True)
        raise
    (out / LAST).unlink(missing_ok=True)  # only the weights worth keeping are kept
    return own.best


def _study(recipe: Recipe, out: Path, axes: Sequence[Axis], *, prune: bool) -> optuna.Study:
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ranged = any(not axis.values for axis in axes)
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=recipe.seed)
        if ranged
        else optuna.samplers.GridSampler({axis.path: list(axis.values) for axis in axes}, seed=recipe.seed)
    )
    study = optuna.create_study(
        storage=f"sqlite:///{out / STORE}",
        study_name=_NAME,
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=1) if prune else optuna.pruners.NopPruner(),
        direction="maximize",
        load_if_exists=True,
    )
    about = {"recipe": recipe.model_dump_json(), "axes": [axis.model_dump_json() for axis in axes]}
    if study.user_attrs and {k: study.user_attrs.get(k) for k in about} != about:
        raise RecipeError(f"{out} holds another search", hint="choose another --out, or repeat its command")
    for key, value in about.items():
        study.set_user_attr(key, value)
    return study


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    if axis.values:
        return trial.suggest_categorical(axis.path, list(axis.values))
    if axis.whole:
        return trial.suggest_int(axis.path, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.path, axis.low, axis.high, log=axis.log)


def _bound(axis: Axis) -> float:
    return int(axis.low) if axis.whole else axis.low


def _trials(study: optuna.Study) -> tuple[Trial, ...]:
    kept = [t for t in study.get_trials(deepcopy=False) if t.params and _STOPPED not in t.user_attrs]
    found = [Trial(number=t.number, state=t.state.name.lower(), score=t.value, values=dict(t.params)) for t in kept]
    return tuple(sorted(found, key=lambda t: (t.score is None, -(t.score or 0), t.number)))


def write_table(out: Path, trials: Sequence[Trial]) -> None:
    """Write ``sweep.csv``: one line for each run, best first."""
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("run", "state", "score", *paths))
        for trial in trials:
            score = "" if trial.score is None else f"{trial.score:.6f}"
            table.writerow((f"{trial.number:04d}", trial.state, score, *(trial.values.get(p, "") for p in paths)))
