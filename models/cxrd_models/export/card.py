"""The model card: written from the run's own numbers, so that it cannot flatter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxrd.inference.manifest import HeatSpec
from cxrd_models.evaluate.figures import ClassFigures, Estimate
from cxrd_models.export.judged import Judged
from cxrd_models.export.parity import Parity
from cxrd_models.export.reporting import Standing
from cxrd_models.export.traced import Traced
from cxrd_models.recipe import Recipe

_ARITHMETIC = {
    "fp32": "single precision, from weights stored as half floats",
    "fp16": "half precision, for a GPU",
    "int8": "matrix products in 8-bit whole numbers, the rest in single precision",
}
_DETAIL_TAKEN = "Training takes detail away from random films so that resolution tells less."
_DETAIL_LEFT = (
    "This model learnt from films with all the detail that they have: nothing kept it from telling by resolution."
)


def card(recipe: Recipe, record: Mapping[str, Any], judged: Judged, traced: Traced) -> str:
    """Markdown of a package's ``card.md``."""
    sections = (
        _head(recipe, record),
        _results(recipe, judged),
        _shortcuts(recipe, record),
        _limits(recipe, judged, traced.heat),
        _export(traced),
    )
    return "\n".join(sections)


def _head(recipe: Recipe, record: Mapping[str, Any]) -> str:
    init = record["init"]
    weights = f"`{init['file']}` (sha256 `{init['sha256'][:16]}`)" if init else "none (random)"
    return f"""# {recipe.id} {recipe.version}

**{recipe.use.text}** Not a medical device. Weights: research use only.

| | |
|---|---|
| architecture | {recipe.architecture}, size {recipe.size}, {record["parameters"] / 1e6:.2f} M parameters |
| task | {recipe.task if isinstance(recipe.task, str) else recipe.task.id} |
| intended for | views {", ".join(recipe.use.views)}; age {_age(recipe)}; sex {" or ".join(recipe.use.sexes)} |
| input | {recipe.grid[0]} x {recipe.grid[1]}, preprocessing `{recipe.preprocess.id}` |
| backbone from | {weights} |
| training data | {recipe.data_licence} |
| data digest | `{record["data_sha256"]}` |
| recipe digest | `{record["recipe_sha256"]}` |
| made by | `{record["command"]}` |
| seed | {recipe.seed} |
"""


def _age(recipe: Recipe) -> str:
    low, high = recipe.use.min_age_years, recipe.use.max_age_years
    if low is None and high is None:
        return "any"
    return f"from {low or 0:g} years" if high is None else f"{low or 0:g} to {high:g} years"


def _results(recipe: Recipe, judged: Judged) -> str:
    found = judged.found
    rows = "\n".join(_row(figure, state) for figure, state in zip(found.classes, judged.standing, strict=True))
    level = ""
    macro, within, bar = found.macro, found.macro_within, found.baseline_within
    if judged.leveled is not None:
        name = f"AUROC, every film first reduced to {recipe.guard.coarsest_side} px"
        level = f"\n| {name} | {_e(judged.leveled.macro)} | | |"
    return f"""## Results on the `{found.split}` split

{found.films} films of {found.patients} patients, none of them in training or validation. AUROC with 95 %
intervals (2,000 resamples of patients). *Within source* compares only films of one collection, so that
telling collections apart earns nothing. *Baseline* is logistic regression on the pooled features of the same
published backbone, never fine-tuned, its strength chosen on validation.

| mean of {len(found.judged)} reported classes | this model | baseline | difference (paired) |
|---|---|---|---|
| AUROC | {_e(macro)} | {_e(found.baseline)} | {_e(found.difference)} |
| within source | {_e(within)} | {_e(bar)} | {_e(found.difference_within)} |{level}

Per class; *n* counts positive films in train/val/test, *base* is the baseline, AP average precision;
sensitivity and specificity are at the package's threshold.

| class | n | AUROC | within source | base | base within | AP | sens | spec | reported |
|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def _row(figure: ClassFigures, state: Standing) -> str:
    cells = (
        figure.class_id,
        f"{state.train}/{state.val}/{state.test}",
        _e(figure.auroc),
        _e(figure.within),
        _e(figure.baseline),
        _e(figure.baseline_within),
        _e(figure.average_precision),
        _n(figure.sensitivity),
        _n(figure.specificity),
        "yes" if state.reported else "no",
    )
    return "| " + " | ".join(cells) + " |"


def _shortcuts(recipe: Recipe, record: Mapping[str, Any]) -> str:
    rows = "\n".join(_shortcut(s) for s in record["shortcuts"])
    blurred = recipe.augment.blur and (recipe.probe is None or recipe.probe.copies)
    return f"""## What can be had without looking at the lungs

AUROC on the test split of a guess that knows only the collection, or only the view, of a film; and the
share of positives in each collection. A class far from 0.5 here can be "recognised" by resolution, or by the
bed that the film was taken in. {_DETAIL_TAKEN if blurred else _DETAIL_LEFT}

| class | by collection | by view | positives |
|---|---|---|---|
{rows}
"""


def _shortcut(s: Mapping[str, Any]) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in s["by_source"].items())
    return f"| {s['class_id']} | {_n(s['source_auroc'])} | {_n(s['view_auroc'])} | {shares} |"


def _limits(recipe: Recipe, judged: Judged, heat: HeatSpec) -> str:
    remarks = "".join(f"- {remark}\n" for remark in recipe.remarks)
    return f"""## Limits

{remarks}- Small: {judged.found.films} test films. The intervals above are wide and mean what they say.
- Probabilities are calibrated on the validation split's share of positives, which no hospital has.
- Classes marked "no" have too few positive films for a threshold or a claim: computed, not reported.
- Not tested: laterals, other scanners, other countries.
- Heat ({recipe.heat}) tells where a score came from, on a {heat.height} x {heat.width} grid; its aim was not measured.
"""


def _export(traced: Traced) -> str:
    rows = "\n".join(_parity(name, parity) for name, parity in traced.parity.items())
    return f"""## Export

Arithmetic: {_ARITHMETIC[traced.precision]}. Largest differences on so many films: of each traced graph from torch, of
the shipped graph between batch sizes 1, 2 and 5, and between the shipped graph and the traced one. All figures above
were computed with the shipped graphs by the daemon's own engine.

| graph | films | logits | probabilities | heat (relative) | batch (relative) | probabilities by rounding |
|---|---|---|---|---|---|---|
{rows}
"""


def _parity(name: str, found: Parity) -> str:
    exact = " | ".join(f"{x:.1e}" for x in (found.logits, found.probs, found.heat, found.batch))
    return f"| {name} | {found.films} | {exact} | {found.rounded_probs:.4f} |"


def _e(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _n(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
