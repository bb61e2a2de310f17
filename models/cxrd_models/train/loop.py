"""The training loop: phases of epochs of steps, each of them repeatable from a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrd_models.data.augment import augment
from cxrd_models.errors import DivergedError, StoppedError, WeightsError
from cxrd_models.evaluate.scores import auroc_within
from cxrd_models.recipe import Phase, Recipe
from cxrd_models.train.average import Average
from cxrd_models.train.checkpoint import load, restore, save
from cxrd_models.train.losses import loss_of
from cxrd_models.train.optimiser import optimiser_for, set_rate
from cxrd_models.train.state import Position, generator, seed_of
from cxrd_models.train.watch import Watch
from cxrd_models.zoo.contract import Batch, ChestClassifier

LAST, BEST = "last.pt", "best.pt"
_EVALUATION_BATCH = 64


class Films(NamedTuple):
    """Everything the loop reads, on the training device.

    Attributes
    ----------
    image : Tensor
        [films, 1, H, W] uint8.
    target, known : Tensor
        [films, K] float32.
    source : array
        [films] names.
    train, val : Tensor
        Indices, int64.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    source: NDArray[np.str_]
    train: Tensor
    val: Tensor


class Job(NamedTuple):
    """One run: what to train, on what, where to write."""

    recipe: Recipe
    model: ChestClassifier
    films: Films
    out: Path
    watch: Watch

    @property
    def module(self) -> nn.Module:
        """The model as torch knows it."""
        return cast("nn.Module", self.model)

    @property
    def device(self) -> torch.device:
        """Where the films are."""
        return self.films.image.device


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
    average = Average(job.module, job.recipe.ema)
    position, carried = _restored(job, average) if resume else (Position(), None)
    while position.phase < len(job.recipe.phases):
        phase = job.recipe.phases[position.phase]
        optimiser = optimiser_for(job.model, phase)
        if carried is not None:
            optimiser.load_state_dict(carried)
            carried = None
        while position.epoch < phase.epochs and not (phase.patience and position.stale >= phase.patience):
            position = _epoch(job, phase, optimiser, average, position)
        _restart_from_best(job, average)
        position = position.next_phase()
        _save_last(job, average, None, position)


def _epoch(job: Job, phase: Phase, optimiser: torch.optim.Optimizer, average: Average, position: Position) -> Position:
    batches = _batches(job, phase, position)
    job.model.train()
    with job.watch.bar(f"{phase.name} {position.epoch + 1}/{phase.epochs}", len(batches) * phase.batch) as bar:
        bar.advance(position.step * phase.batch)
        for rows in batches[position.step :]:
            if job.watch.stopping:
                _save_last(job, average, optimiser, position)
                raise StoppedError("stopped on request; every finished step is kept", hint="go on with --resume")
            within = position.step / len(batches)
            set_rate(optimiser, phase, (position.epoch + within) / phase.epochs)
            loss = _step(job, phase, optimiser, position, rows=rows, of=len(batches))
            average.update(job.module, position.trained * len(batches) + position.step)
            position = position.stepped(loss)
            bar.advance(phase.batch, note=f"loss {position.loss_sum / position.step:.4f}")
    loss, (score, each) = position.loss_sum / max(position.step, 1), validate(job, average.model)
    improved = score > position.best
    position = position.next_epoch(score)
    if improved:
        save(job.out / BEST, {"model": average.model.state_dict(), "identity": identity(job.recipe)})
    _save_last(job, average, optimiser, position)
    job.watch.log("epoch", phase=phase.name, epoch=position.epoch, loss=loss, val_auroc=score, per_class=each)
    mark = " *" if improved else ""
    job.watch.say(f"{phase.name} {position.epoch}/{phase.epochs}  loss {loss:.4f}  val AUROC {score:.4f}{mark}")
    return position


def _batches(job: Job, phase: Phase, position: Position) -> list[Tensor]:
    """Shuffled full batches of training indices; the order depends on the seed and the epoch only."""
    random = generator(job.recipe.seed, "order", position.trained)
    order = job.films.train[torch.randperm(len(job.films.train), generator=random)]
    size = min(phase.batch, len(order))
    return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]


def _step(job: Job, phase: Phase, optimiser: torch.optim.Optimizer, position: Position, rows: Tensor, of: int) -> float:
    place = ("step", position.trained, position.step)
    torch.manual_seed(seed_of(job.recipe.seed, *place))  # dropout draws from torch's own stream
    films = job.films
    image = augment(films.image[rows].float() / 255, job.recipe.augment, generator(job.recipe.seed, *place))
    batch = Batch(image, films.target[rows], films.known[rows], rows)
    output = job.model(batch.image, batch.ids)
    loss = loss_of(phase, output.logits, batch.target, batch.known)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"the loss is {value} in {phase.name}, epoch {position.epoch + 1}, step {position.step + 1}",
            hint=f"{job.out / LAST} and {BEST} hold what was trained before; lower the rates of this phase",
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    learning = [p for group in optimiser.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(learning, phase.clip_norm)
    optimiser.step()
    job.model.post_step(batch, output, position.trained + (position.step + 1) / of)
    return value


@torch.inference_mode()
def predict(model: nn.Module, image: Tensor, rows: Tensor) -> NDArray[np.float32]:
    """Uncalibrated logits [rows, K] float32 of films [films, 1, H, W] uint8, in eval mode."""
    was = model.training
    model.eval()
    parts = [model(image[part].float() / 255).logits for part in torch.split(rows, _EVALUATION_BATCH)]
    model.train(was)
    return np.asarray(torch.cat(parts).float().cpu().numpy())


def validate(job: Job, model: nn.Module) -> tuple[float, dict[str, float]]:
    """Mean AUROC of the classes with enough validation films, as the recipe's monitor says, and each class's.

    Only pairs of films of one source count, so that telling sources apart earns nothing.
    """
    films, rows = job.films, job.films.val
    logits = predict(model, films.image, rows)
    target, known = films.target[rows].cpu().numpy(), films.known[rows].cpu().numpy() > 0
    source = films.source[rows.cpu().numpy()]
    each: dict[str, float] = {}
    weight: dict[str, float] = {}
    for k, name in enumerate(job.model.classes):
        use = known[:, k]
        positives = float(target[use, k].sum())
        area = float(auroc_within(target[use, k], logits[use, k], source[use])[0])
        if positives >= max(job.recipe.report.min_val, 1) and not math.isnan(area):
            each[name] = area
            weight[name] = positives if job.recipe.monitor == "weighted" else 1.0
    return (float(np.average(list(each.values()), weights=list(weight.values()))) if each else 0.0), each


def identity(recipe: Recipe) -> str:
    """Name the architecture a checkpoint belongs to."""
    return f"{recipe.architecture} {recipe.size} {recipe.task}"


def load_best(job: Job) -> None:
    """Fill the model with the weights that ``fit`` kept.

    Raises
    ------
    WeightsError
        There are none, or they belong to another model.
    """
    content = load(job.out / BEST, job.device)
    _same_identity(job, content, BEST)
    restore(job.module, content["model"], str(job.out / BEST))


def _restart_from_best(job: Job, average: Average) -> None:
    load_best(job)
    average.model.load_state_dict(job.model.state_dict())


def _save_last(job: Job, average: Average, optimiser: torch.optim.Optimizer | None, position: Position) -> None:
    save(
        job.out / LAST,
        {
            "model": job.model.state_dict(),
            "average": average.model.state_dict() if average.keep else None,
            "optimiser": optimiser.state_dict() if optimiser else None,
            "position": position.model_dump(),
            "identity": identity(job.recipe),
        },
    )


def _restored(job: Job, average: Average) -> tuple[Position, dict[str, Any] | None]:
    content = load(job.out / LAST, job.device)
    _same_identity(job, content, LAST)
    restore(job.module, content["model"], str(job.out / LAST))
    if average.keep:
        restore(average.model, content["average"], str(job.out / LAST))
    position = Position.model_validate(content["position"])
    job.watch.log("resumed", **position.model_dump())
    return position, content["optimiser"]


def _same_identity(job: Job, content: dict[str, Any], name: str) -> None:
    theirs = content.get("identity")
    if theirs != identity(job.recipe):
        raise WeightsError(f"{job.out / name} was written for {theirs}, the recipe is {identity(job.recipe)}")
