"""The training loop: phases of epochs of steps, each of them repeatable from a checkpoint."""

from __future__ import annotations

import time
from typing import Any

from cxrd_models.errors import StoppedError, WeightsError
from cxrd_models.recipe import Phase
from cxrd_models.train import probe
from cxrd_models.train.average import Average
from cxrd_models.train.checkpoint import load, restore, save
from cxrd_models.train.job import BEST, LAST, Job
from cxrd_models.train.optimiser import set_rate
from cxrd_models.train.order import batches
from cxrd_models.train.state import Position
from cxrd_models.train.step import Stepper
from cxrd_models.train.validate import validate


def fit(job: Job, *, resume: bool) -> None:
    """Train every phase; afterwards ``best.pt`` holds the weights to keep.

    Raises
    ------
    StoppedError
        A stop was asked for; ``last.pt`` holds the position.
    DivergedError
        The loss is not a number; ``last.pt`` holds the last good epoch.
    WeightsError
        The checkpoint to resume from belongs to another model.
    """
    average = Average(job.model, job.recipe.ema)
    position, carried = _restored(job, average) if resume else (_begun(job, average), None)
    while position.phase < len(job.recipe.phases):
        phase = job.recipe.phases[position.phase]
        stepper = Stepper(job, phase)
        if carried is not None:
            stepper.restore(carried)
            carried = None
        while position.epoch < phase.epochs and not (phase.patience and position.stale >= phase.patience):
            position = _epoch(job, phase, stepper, average, position)
        if position.epoch < phase.epochs:
            job.watch.say(f"{phase.name} ends early: no better score in {position.stale} epochs")
        _restart_from_best(job, average)
        position = position.next_phase()
        _save_last(job, average, None, position)


def _begun(job: Job, average: Average) -> Position:
    """Return the first position; with a probe, its head is the first to be kept, and the one to beat."""
    if job.recipe.probe is not None:
        job.watch.say("the head begins as a regression on the published features ...")
        probe.begin(job, job.recipe.probe)
    job.ranks.follow(job.model.state_dict().values())
    average.model.load_state_dict(job.model.state_dict())
    if job.recipe.probe is None:
        return Position()
    judged = validate(job, job.model)
    _save(job, BEST, {"model": job.model.state_dict(), "identity": job.identity})
    position = Position(best=judged.score, bar=judged.score)
    _save_last(job, average, None, position)
    job.watch.log("probe", **judged._asdict())
    job.watch.say(
        f"probe  val loss {judged.val_loss:.4f}  accuracy {judged.val_accuracy:.3f}  AUROC {judged.val_auroc:.4f} *"
    )
    return position


def _epoch(job: Job, phase: Phase, stepper: Stepper, average: Average, position: Position) -> Position:
    order, began = batches(job, phase, position), time.monotonic()
    job.model.train()
    with job.watch.bar(f"{phase.name} {position.epoch + 1}/{phase.epochs}", len(order) * phase.batch) as bar:
        bar.advance(position.step * phase.batch)
        for rows in order[position.step :]:
            if job.ranks.total(job.watch.stopping):
                _save_last(job, average, stepper, position)
                raise StoppedError("stopped on request; every finished step is kept", hint="go on with --resume")
            within = position.step / len(order)
            set_rate(stepper.optimiser, phase, position, (position.epoch + within) / phase.epochs)
            loss = stepper.step(position, rows, of=len(order))
            average.update(job.model, position.steps)
            job.board.step(job.model, position.steps, loss)
            position = position.stepped(loss)
            bar.advance(phase.batch, note=f"loss {position.loss_sum / position.step:.4f}")
    loss, judged = position.loss_sum / max(position.step, 1), validate(job, average.model)
    improved, lowered = judged.score > position.best, position.lowered
    position = position.next_epoch(judged.score, phase)
    if improved:
        _save(job, BEST, {"model": average.model.state_dict(), "identity": job.identity})
    _save_last(job, average, stepper, position)
    seconds = time.monotonic() - began
    job.watch.log(
        "epoch",
        phase=phase.name,
        epoch=position.epoch,
        trained=position.trained,
        loss=loss,
        **judged._asdict(),
        lowered=position.lowered,
        seconds=round(seconds, 3),
    )
    mark = " *" if improved else ""
    job.watch.say(
        f"{phase.name} {position.epoch}/{phase.epochs}  loss {loss:.4f}  val loss {judged.val_loss:.4f}"
        f"  accuracy {judged.val_accuracy:.3f}  AUROC {judged.val_auroc:.4f}{mark}"
    )
    if position.lowered > lowered:
        job.watch.say(f"no better score in {phase.plateau} epochs: the rates are multiplied by {phase.factor:g}")
    figures = {"loss": loss, **{f"AUROC/{name}": area for name, area in judged.per_class.items()}}
    told = {"val_loss": judged.val_loss, "val_accuracy": judged.val_accuracy, "val_auroc": judged.val_auroc}
    rates = {f"rate/{i}": group["lr"] for i, group in enumerate(stepper.optimiser.param_groups)}
    job.board.epoch(average.model, position.trained, figures | told | rates)
    return position


def load_best(job: Job) -> None:
    """Fill the model with the weights that ``fit`` kept.

    Raises
    ------
    WeightsError
        There are none, or they belong to another model.
    """
    content = load(job.out / BEST, job.device)
    _same_identity(job, content, BEST)
    restore(job.model, content["model"], str(job.out / BEST))


def _restart_from_best(job: Job, average: Average) -> None:
    load_best(job)
    average.model.load_state_dict(job.model.state_dict())


def _save(job: Job, name: str, content: dict[str, Any]) -> None:
    """Write a checkpoint; no process goes on to read it before it is there."""
    if job.ranks.leader:
        save(job.out / name, content)
    job.ranks.wait()


def _save_last(job: Job, average: Average, stepper: Stepper | None, position: Position) -> None:
    content = {
        "model": job.model.state_dict(),
        "average": average.model.state_dict() if average.keep else None,
        "stepper": stepper.state() if stepper else None,
        "position": position.model_dump(),
        "identity": job.identity,
    }
    _save(job, LAST, content)


def _restored(job: Job, average: Average) -> tuple[Position, dict[str, object] | None]:
    content = load(job.out / LAST, job.device)
    _same_identity(job, content, LAST)
    restore(job.model, content["model"], str(job.out / LAST))
    if average.keep:
        restore(average.model, content["average"], str(job.out / LAST))
    position = Position.model_validate(content["position"])
    job.watch.log("resumed", **position.model_dump(mode="json"))
    if position.phase < len(job.recipe.phases):
        phase = job.recipe.phases[position.phase]
        job.watch.say(f"going on with {phase.name} {position.epoch + 1}/{phase.epochs}, step {position.step + 1}")
    return position, content["stepper"]


def _same_identity(job: Job, content: dict[str, Any], name: str) -> None:
    theirs = content.get("identity")
    if theirs != job.identity:
        raise WeightsError(f"{job.out / name} was written for {theirs}, the recipe is {job.identity}")
