"""Figures as sentences that a clinician can read without a textbook."""

from __future__ import annotations

from cxrd_models.evaluate.bundle import Evaluation
from cxrd_models.evaluate.compare import Comparison
from cxrd_models.evaluate.examples import Example
from cxrd_models.evaluate.figures import ClassFigures, Estimate
from cxrd_models.evaluate.operating import Confusion, Operating
from cxrd_models.evaluate.subgroups import MIN_FILMS, MIN_POSITIVES

FEW = 30  # positives below which an interval is so wide that its sentence must say so


def name(class_id: str) -> str:
    """Class as one would write it: ``Pleural_Thickening`` is "pleural thickening"."""
    words = class_id.replace("_", " ")
    return words if words.isupper() else words.lower()


def figure(estimate: Estimate) -> str:
    """``0.84 (0.78 to 0.90)``; a dash where the films cannot tell."""
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def of_hundred(estimate: Estimate) -> str:
    """``84 (78 to 90)`` of a share; a dash where the films cannot tell."""
    if estimate.value is None:
        return "-"
    low, high = estimate.low, estimate.high
    around = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * estimate.value:.0f}{around}"


def alone(value: float | None) -> str:
    """Two digits; a dash for None."""
    return "-" if value is None else f"{value:.2f}"


def headline(found: Evaluation) -> str:
    """One sentence on all reported classes together."""
    if found.confusion is not None:
        return (
            f"Of 100 films, the most probable class is the right one in {of_hundred(found.confusion.accuracy)}; "
            f"with every class given the same weight, in {of_hundred(found.confusion.balanced_accuracy)}."
        )
    if not found.judged:
        return "The films show none of the findings that this package reports: nothing can be said of it."
    mean = "" if len(found.judged) == 1 else f", on average over {len(found.judged)} reported findings"
    return (
        "Given one film with a finding and one without it, the package gives the film with the finding the higher "
        f"probability in {of_hundred(found.macro)} of 100 such pairs{mean} (AUROC {figure(found.macro)}; "
        "50 is guessing)."
    )


def class_sentence(area: ClassFigures, at: Operating) -> str:
    """Say what one reported class does at its operating point."""
    caution = f" Only {area.positives} films show it: read the intervals, not the figures." * (area.positives < FEW)
    return (
        f"Of 100 films with {name(area.class_id)} it finds {of_hundred(at.sensitivity)}; "
        f"of 100 films without, it leaves {of_hundred(at.specificity)} alone; "
        f"where it says present, it is right in {of_hundred(at.precision)} of 100 among films like these.{caution}"
    )


def calibration_sentence(at: Operating) -> str:
    """Say how far the stated probability of a class lies from what happens."""
    return (
        f"A stated probability of {name(at.class_id)} is off by {of_hundred(at.calibration_error)} percentage points "
        f"on average (Brier score {figure(at.brier)})."
    )


def mixing_sentence(found: Confusion) -> str:
    """Name the commonest mix-up of exclusive classes."""
    wrong = [
        (count, true, said)
        for true, row in zip(found.classes, found.counts, strict=True)
        for said, count in zip(found.classes, row, strict=True)
        if said != true and count
    ]
    if not wrong:
        return "No film was mixed up."
    count, true, said = max(wrong)
    return f"The commonest mix-up: {count} films of {name(true)} were called {name(said)}."


def comparison_sentence(found: Comparison) -> str:
    """Say which of two packages is the better one on a class, if that can be told."""
    if found.p_holm is None or found.difference is None:
        return f"{name(found.class_id)}: the films cannot tell."
    interval = f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), p = {found.p_holm:.2g}"
    if found.p_holm >= 0.05:
        return f"{name(found.class_id)}: no difference that chance could not make: {interval}."
    return f"{name(found.class_id)}: this package is {'better' if found.difference > 0 else 'worse'}: {interval}."


def example_caption(example: Example, classes: tuple[str, ...], probability: float) -> str:
    """Say what was called on a film and what is true."""
    called = f"{name(classes[example.k])}, probability {probability:.2f}"
    match example.verdict:
        case "hit":
            return f"Right: {called}."
        case "false alarm":
            return f"False alarm: {called}; the film's label does not name it."
        case "missed":
            return f"Missed: {called}, below the operating point; the film's label names it."
        case "mixed up":
            return f"Mixed up: {called}; the film's label is {name(classes[example.true or 0])}."


def limits(found: Evaluation) -> tuple[str, ...]:
    """Say what these figures cannot tell."""
    few = [name(c.class_id) for c in found.classes if c.class_id in found.judged and c.positives < FEW]
    said = [
        (
            f"{found.films} films of {found.patients} patients, collected afterwards. Intervals are 95 %, over "
            "patients drawn anew; they hold for more films like these, not for another hospital or another machine."
        ),
        "Precision depends on how common a finding is; where it is rarer than here, more alarms will be false.",
        "A label is somebody's report or reading, not the truth; where labels err, so do these figures.",
        (
            f"Groups of fewer than {MIN_FILMS} films, or {MIN_POSITIVES} films with a finding, are not judged. Many "
            "groups are compared, so that one or two differences are to be expected from chance alone."
        ),
    ]
    if few:
        said.append(f"Fewer than {FEW} films show {', '.join(few)}: an interval that wide decides nothing.")
    if found.unseen:
        unseen = ", ".join(map(name, found.unseen))
        said.append(f"No film of the split shows {unseen}: nothing is known of these.")
    if _leans_on_source(found):
        said.append(
            "Films come from several collections that differ in how common findings are. Pairs of films of the same "
            f"collection are told apart less well: AUROC {figure(found.macro_within)} instead of "
            f"{figure(found.macro)}. The lower figure is the one to expect."
        )
    if found.tta:
        said.append("Every film was also judged mirrored, and the answers averaged; the node does not do this.")
    return tuple(said)


def _leans_on_source(found: Evaluation) -> bool:
    pooled, within = found.macro.value, found.macro_within.value
    return pooled is not None and within is not None and pooled - within > 0.02
