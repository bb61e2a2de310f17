"""Cross-validation of the content check: every lateral, slice and photograph judged by a head that never saw it.

The backbone is never changed by training, so its features are computed once, of the pictures as they are and of moved
copies of the foreign ones; then a head is fitted for each fold, which leaves out a quarter of the foreign pictures with
every film of their patients. Loss, sampling and regularisation are those of ``config/train/film_content.toml``.

``PYTHONPATH=tests python -m bench.content DATA WEIGHTS`` with what ``cxrd dataset content`` wrote.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Generator, Tensor, nn

from cxrd.rules import SHIPPED
from cxrd_models.data.augment import augment
from cxrd_models.data.films import load_films
from cxrd_models.data.manifest import Manifest, read_manifest
from cxrd_models.data.tasks import CONTENT
from cxrd_models.dataset.content import FOLDS
from cxrd_models.recipe import Recipe
from cxrd_models.recipes import read_recipe
from cxrd_models.zoo.film_content import FilmContent, FilmContentOptions

COPIES, STEPS, BATCH = 24, 300, 64
LEAST = {"header blank": SHIPPED.frontal_unnamed, "header says frontal": SHIPPED.frontal_named}


class Bench:
    """Features of a data set, and the heads that are fitted on them."""

    def __init__(self, data: Path, weights: Path) -> None:
        torch.manual_seed(0)
        self.recipe: Recipe = read_recipe("film_content")
        self.manifest: Manifest = read_manifest(data, CONTENT)
        self.films = torch.from_numpy(load_films(self.manifest, self.recipe.preprocess))
        published = torch.load(weights, weights_only=True)
        self.model = self._head()
        self.model.backbone.load_state_dict(
            {k: v for k, v in published.items() if k.startswith("features.")}, strict=False
        )
        self.foreign = np.flatnonzero([film.source == "ood" for film in self.manifest.films])
        self.plain = self._features(self.films)
        random = Generator().manual_seed(0)
        some = self.films[self.foreign].float() / 255
        moved = [augment(some, self.recipe.augment, random)[0] for _ in range(COPIES)]
        self.moved = torch.stack([self._features((copy * 255).to(torch.uint8)) for copy in moved])

    def _head(self) -> FilmContent:
        return FilmContent(CONTENT.classes, FilmContentOptions.model_validate(self.recipe.model)).eval()

    @torch.no_grad()  # heads are fitted on what this gives
    def _features(self, films: Tensor) -> Tensor:
        return torch.cat([self.model.seen(part.float() / 255)[1] for part in torch.split(films, BATCH)])

    def folds(self) -> list[list[int]]:
        """Positions among the foreign pictures that each fold judges; a kind of which there are few, in every one."""
        kinds: dict[str, list[int]] = defaultdict(list)
        for k, row in enumerate(self.foreign):
            kinds[self.manifest.films[row].view].append(k)
        few = [k for members in kinds.values() if len(members) < FOLDS for k in members]
        rest = [members for members in kinds.values() if len(members) >= FOLDS]
        return [few + [k for members in rest for k in members[fold::FOLDS]] for fold in range(FOLDS)]

    def said(self, judged: list[int], seed: int) -> NDArray[np.float32]:
        """[films] probability of a frontal film from a head that saw no film of the judged patients."""
        films, classes = self.manifest.films, self.model.classes
        out = {films[self.foreign[k]].patient for k in judged}
        target = torch.tensor([classes.index(film.labels[0]) for film in films])
        keep = [i for i, f in enumerate(films) if f.split == "train" and f.source != "ood" and f.patient not in out]
        learnt = [k for k, row in enumerate(self.foreign) if films[row].patient not in out]
        x = torch.cat([self.plain[keep], self.moved[:, learnt].flatten(0, 1)])
        y = torch.cat([target[keep], target[self.foreign[learnt]].repeat(COPIES)])
        head = self._fitted(x, y, seed)
        return np.asarray(torch.softmax(head(self.plain), dim=1)[:, classes.index("frontal")].detach().numpy())

    def _fitted(self, x: Tensor, y: Tensor, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        head, phase = self._head().head.train(), self.recipe.phases[0]
        optimiser = torch.optim.AdamW(head.parameters(), lr=phase.rates["head.*"], weight_decay=phase.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        rarity = 1 / torch.bincount(y).float()[y]
        for _ in range(STEPS):
            rows = torch.multinomial(rarity, BATCH, replacement=True)
            loss = nn.functional.cross_entropy(head(x[rows]), y[rows], label_smoothing=phase.label_smoothing)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return head.eval()


def told(right: int, of: int) -> str:
    """A share with its 95 % interval (Clopper-Pearson)."""
    low = float(beta.ppf(0.025, right, of - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, of - right)) if right < of else 1.0
    return f"{right} of {of} ({low:.3f} to {high:.3f})"


def measure(data: Path, weights: Path) -> Iterator[tuple[str, str]]:
    """Refused foreign pictures by kind, and refused frontal films of the test split, mean over the folds."""
    bench = Bench(data, weights)
    films = bench.manifest.films
    frontal = [i for i, film in enumerate(films) if film.split == "test" and film.labels == ("frontal",)]
    scores: dict[int, list[float]] = defaultdict(list)
    refused = dict.fromkeys(LEAST.values(), 0)
    for fold, judged in enumerate(bench.folds()):
        said = bench.said(judged, fold)
        for k in judged:
            scores[int(bench.foreign[k])].append(float(said[bench.foreign[k]]))
        for least in refused:
            refused[least] += int((said[frontal] < least).sum())
    for header, least in LEAST.items():
        for kind in sorted({films[row].view for row in scores}):
            mine = [max(each) < least for row, each in scores.items() if films[row].view == kind]
            yield f"{header}: {kind} refused", told(sum(mine), len(mine))
        yield f"{header}: foreign refused", told(sum(max(e) < least for e in scores.values()), len(scores))
        yield f"{header}: frontal test films refused", told(round(refused[least] / FOLDS), len(frontal))


if __name__ == "__main__":
    for what, figure in measure(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"{what:50} {figure}", flush=True)
