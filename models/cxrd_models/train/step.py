"""One optimiser step: films in, weights moved, however many parts and processes share the batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cxrd_models.data.augment import augment
from cxrd_models.errors import DivergedError, RecipeError
from cxrd_models.recipe import Phase
from cxrd_models.train.job import BEST, LAST, Job
from cxrd_models.train.losses import Counted, counted, loss_of
from cxrd_models.train.optimiser import optimiser_for
from cxrd_models.train.state import Position, generator, seed_of
from cxrd_models.zoo.contract import Batch, Output

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LEAST_SCALE = 2.0**-14
"""Of half-precision losses: it begins at 2**16 and is halved where a gradient overflows; so small it never helps."""


class Stepper:
    """Moves a job's weights through one phase.

    Attributes
    ----------
    optimiser : torch.optim.Optimizer
        Of the parameters that learn in this phase.
    scaler : torch.amp.GradScaler
        Keeps half-precision gradients from vanishing; idle in the other precisions.
    """

    def __init__(self, job: Job, phase: Phase) -> None:
        self.job, self.phase = job, phase
        self.optimiser = optimiser_for(job.model, phase)
        self.scaler = torch.amp.GradScaler(job.device.type, enabled=phase.precision == "fp16")
        self.weights = _class_weights(job, phase)

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what a checkpoint kept."""
        self.optimiser.load_state_dict(state["optimiser"])  # type: ignore[arg-type]  # from `state`
        self.scaler.load_state_dict(state["scaler"])  # type: ignore[arg-type]

    def step(self, position: Position, rows: Tensor, of: int) -> float:
        """Learn from the films ``rows``, step ``position.step`` of ``of`` in the epoch; returns their mean loss.

        Raises
        ------
        DivergedError
            The loss, or a gradient, is not a number; no weight was moved.
        RecipeError
            More processes than films in the batch.
        """
        job, phase = self.job, self.phase
        if len(rows) < job.ranks.world:
            raise RecipeError(f"phase {phase.name}: {job.ranks.world} processes cannot share {len(rows)} films")
        torch.manual_seed(seed_of(job.recipe.seed, *self._place(position, 0)))  # dropout draws from torch's own stream
        self.optimiser.zero_grad(set_to_none=True)
        mine, total = job.ranks.share(rows), 0.0
        parts = mine.tensor_split(max(1, min(phase.accumulate, len(mine) // 2)))
        seen = [self._batch(position, part, number) for number, part in enumerate(parts)]
        counts = zip(*(counted(phase, batch, self.weights) for batch in seen), strict=True)
        whole = Counted(*(job.ranks.total(sum(count)) for count in counts))
        embeddings: list[Tensor] = []
        for batch in seen:
            output = self._forward(batch)
            loss = loss_of(phase, output, batch, self.weights, whole)
            total += float(loss.detach())
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            embeddings.append(output.embedding.detach())
        value = job.ranks.total(total)
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}", position)
        length = self._gradient()
        if not self.scaler.is_enabled() and not math.isfinite(length):
            raise self._diverged(f"the gradient is {length}", position)
        self.scaler.step(self.optimiser)  # leaves out a step whose half-precision gradients are no numbers
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < _LEAST_SCALE:
            raise self._diverged("no gradient is a number in half precision", position)
        self._follow(seen, embeddings, position.trained + (position.step + 1) / of)
        return value

    def _place(self, position: Position, number: int) -> tuple[int | str, ...]:
        """Where in the run part ``number`` of this process's share stands: what its randomness depends on."""
        part = self.job.ranks.rank * self.phase.accumulate + number
        return ("step", position.trained, position.step, *((part,) if part else ()))

    def _batch(self, position: Position, rows: Tensor, number: int) -> Batch:
        films, seed = self.job.films, self.job.recipe.seed
        place = self._place(position, number)
        lungs = None if films.mask is None else films.mask[rows].float() / 255
        image, lungs = augment(films.image[rows].float() / 255, self.job.recipe.augment, generator(seed, *place), lungs)
        batch = Batch(image, films.target[rows], films.known[rows], rows, lungs)
        if self.phase.mixup:
            share = float(np.random.default_rng(seed_of(seed, *place)).beta(self.phase.mixup, self.phase.mixup))
            batch = mixed(batch, share, torch.randperm(len(rows), generator=generator(seed, "mixup", *place)))
        return batch._replace(image=batch.image.contiguous(memory_format=torch.channels_last))

    def _forward(self, batch: Batch) -> Output:
        half = _HALF.get(self.phase.precision)
        with torch.autocast(self.job.device.type, dtype=half, enabled=half is not None):
            output: Output = self.job.model(batch.image, batch.mask, batch.ids)
        aux = {name: value.float() for name, value in output.aux.items()}
        return Output(output.logits.float(), output.heat.float(), output.embedding.float(), aux)

    def _gradient(self) -> float:
        """Sum of all processes, clipped; returns its length before that."""
        learning = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.job.ranks.sum_gradients(learning)
        self.scaler.unscale_(self.optimiser)
        return float(torch.nn.utils.clip_grad_norm_(learning, self.phase.clip_norm))

    def _diverged(self, what: str, position: Position) -> DivergedError:
        kept = ", ".join(name for name in (LAST, BEST) if (self.job.out / name).exists())
        told = f"{self.job.out} keeps what was trained before in {kept}; " if kept else ""
        return DivergedError(
            f"{what} in {self.phase.name}, epoch {position.epoch + 1}, step {position.step + 1}",
            hint=f"{told}lower the rates of this phase",
        )

    def _follow(self, seen: list[Batch], embeddings: list[Tensor], epoch: float) -> None:
        """Tell the model the whole batch, so that what it keeps beside its gradients is the same everywhere."""
        self.job.ranks.average(_statistics(self.job.model))
        image, target, known, ids = (torch.cat(parts) for parts in list(zip(*seen, strict=True))[:4])
        gather = self.job.ranks.gather
        whole = Batch(image, gather(target), gather(known), gather(ids))
        self.job.model.post_step(whole, gather(torch.cat(embeddings)), epoch)


def _statistics(model: nn.Module) -> Iterator[Tensor]:
    """What batch norms remember of the films that they saw; those of a published backbone stay as they are."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.training and part.running_mean is not None:
            yield from (x for x in (part.running_mean, part.running_var) if x is not None)


def mixed(batch: Batch, share: float, partner: Tensor) -> Batch:
    """Blend each film, its label and its lungs with a partner's (arXiv 1710.09412): ``share`` of itself."""

    def blend(own: Tensor) -> Tensor:
        return share * own + (1 - share) * own[partner]

    return Batch(
        blend(batch.image),
        blend(batch.target),
        torch.minimum(batch.known, batch.known[partner]),
        batch.ids,
        None if batch.mask is None else blend(batch.mask),
    )


def _class_weights(job: Job, phase: Phase) -> Tensor:
    """[K] of mean 1."""
    chosen = phase.class_weights
    if chosen == "none":
        weights = torch.ones(len(job.model.classes))
    elif chosen == "balanced":
        share = job.films.target[job.films.train].cpu().mean(dim=0)
        rarest = float(share[share > 0].min()) if bool((share > 0).any()) else 1.0  # a class without films is like it
        weights = 1 / share.clamp(min=max(rarest, 1e-3))
    else:
        weights = torch.tensor([chosen[name] for name in job.model.classes])
    return (weights / weights.mean()).to(job.device)
