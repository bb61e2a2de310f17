"""``cxrd evaluate``: the figures of a package on labelled films, through the daemon's own engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cxrd.findings import Value
from cxrd.inference.engine import Classifier, load
from cxrd_models.data.films import decode, load_films
from cxrd_models.data.lungs import load_lungs
from cxrd_models.data.manifest import SPLITS, Manifest, read_manifest
from cxrd_models.data.own import made_for
from cxrd_models.errors import DataError
from cxrd_models.evaluate import plots, tables, words
from cxrd_models.evaluate.answers import Answers, answer
from cxrd_models.evaluate.bundle import Against, Evaluation, Subject, evaluation, scored
from cxrd_models.evaluate.compare import compare
from cxrd_models.evaluate.examples import examples
from cxrd_models.evaluate.figures import Estimate, Figures
from cxrd_models.evaluate.panels import panel, png
from cxrd_models.evaluate.people import groups_of
from cxrd_models.evaluate.report import Shown, report
from cxrd_models.evaluate.truth import read_boxes
from cxrd_models.recipe import PreprocessRecipe
from cxrd_models.train.watch import Watch


class Options(Value):
    """What to judge, beyond the package and the films.

    Attributes
    ----------
    split : str
        Films to judge on; those of "train" and "val" flatter a package that was made with them.
    tta : bool
        Also judge each film mirrored.
    against : Path or None
        Another package, to compare areas with.
    panels : int
        Pictures of the films that were called right, and of those called wrong.
    batch : int
        Films judged at once.
    films : int
        How many to judge, drawn by chance, the same ones each time; 0 judges all.
    """

    split: str = "test"
    tta: bool = False
    against: Path | None = None
    panels: int = 6
    batch: int = 16
    films: int = 0


_USUAL = Options()


def evaluate_package(package: Path, data: Path, out: Path, watch: Watch, options: Options = _USUAL) -> Evaluation:
    """Judge a package on a split of a folder, and write what was found.

    Writes ``metrics.json``, ``per_class.csv``, ``predictions.csv``, ``subgroups.csv``, pictures and ``report.html``;
    ``localisation.json`` and ``localisation.csv`` where there are boxes or lung masks.

    Raises
    ------
    CxrdError
        The package or the folder cannot be used.
    """
    classifier = load(package, provider="cpu")  # figures must not depend on a driver
    whole = read_manifest(data, made_for(package), needed=(_split(options.split),))
    manifest = _films_of(whole, options)
    subject = Subject(
        declared=classifier.manifest,
        digest=classifier.ref.digest,
        manifest=manifest,
        split=options.split,
        answers=_ask(classifier, manifest, watch, options),
        groups=groups_of(manifest),
        boxes=read_boxes(data, manifest.task.classes),
        tta=options.tta,
        data=whole.digest,
    )
    against = _against(subject, options.against, watch, options) if options.against else None
    found, places = evaluation(subject, against)
    _make_room(out)
    _write(out / "metrics.json", found.model_dump_json(indent=1) + "\n")
    _write(out / "per_class.csv", tables.per_class(found))
    _write(out / "predictions.csv", tables.predictions(subject, scored(subject)))
    _write(out / "subgroups.csv", tables.groups(found.subgroups))
    if found.places or found.lungs:
        _write(out / "localisation.json", found.model_dump_json(indent=1, include={"places", "lungs"}) + "\n")
        _write(out / "localisation.csv", tables.spots(places))
    pictures = _pictures(subject, found)
    for name, picture in pictures.items():
        (out / f"{name}.png").write_bytes(picture)
    shown = _panels(subject, found, options.panels)
    for i, each in enumerate(shown, 1):
        (out / f"panel_{i:02d}_{'right' if each.right else 'wrong'}.png").write_bytes(png(each.picture))
    _write(out / "report.html", report(found, subject, pictures, shown, f"{datetime.now(UTC):%Y-%m-%d}"))
    return found


def _make_room(out: Path) -> None:
    """Leave nothing of an earlier evaluation: pictures of another package would be taken for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for pattern in ("panel_*.png", "localisation.*", "roc.png", "pr.png", "reliability.png", "confusion.png"):
        for old in out.glob(pattern):
            old.unlink()


def _split(asked: str) -> str:
    if asked not in SPLITS:
        raise DataError(f"split {asked!r} is not one of {', '.join(SPLITS)}")
    return asked


def _films_of(whole: Manifest, options: Options) -> Manifest:
    """Return the manifest of one split, or of a part of it: other films are not even decoded."""
    rows = whole.rows_of(options.split)
    if options.films:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[: options.films])
    return whole.model_copy(update={"films": tuple(whole.films[i] for i in rows)})


def _ask(classifier: Classifier, manifest: Manifest, watch: Watch, options: Options) -> Answers:
    how = PreprocessRecipe(**classifier.manifest.preprocess.model_dump())
    with watch.bar("reading films", len(manifest.films)) as bar:
        pixels = load_films(manifest, how, bar.advance)
    if "mask" in classifier.manifest.inputs:
        with watch.bar("looking for lungs", len(manifest.films)) as bar:
            pixels = np.concatenate([pixels, load_lungs(manifest, how, bar.advance)], axis=1)
    return answer(classifier, pixels, tta=options.tta, batch=options.batch)


def _against(subject: Subject, package: Path, watch: Watch, options: Options) -> Against:
    """Compare with another package on what this one reports and both know; each gets its own preprocessing."""
    other = load(package, provider="cpu")
    mine, theirs = subject.manifest.task.classes, [c.id for c in other.manifest.classes]
    shared = tuple(c.id for c in subject.declared.classes if c.reported and c.id in theirs)
    name = f"{other.manifest.id} {other.manifest.version}"
    if not shared:
        raise DataError(
            f"{subject.name} and {name} share no class that the first reports",
            hint=f"one answers {', '.join(mine)}; the other {', '.join(theirs)}",
        )
    answers = _ask(other, subject.manifest, watch, options)
    here, there = [mine.index(c) for c in shared], [theirs.index(c) for c in shared]
    target = subject.manifest.targets()[:, here]
    pair: tuple[NDArray[np.float64], NDArray[np.float64]] = (
        subject.answers.probability[:, here],
        answers.probability[:, there],
    )
    return Against(package=name, classes=compare(shared, target, *pair, subject.manifest.patients()))


def _pictures(subject: Subject, found: Evaluation) -> dict[str, bytes]:
    answers, judged = scored(subject), found.judged
    if not judged:
        return {}
    told = tuple(at for at in found.operating if at.class_id in judged)
    mixed = plots.calls_picture(told) if found.confusion is None else plots.confusion_picture(found.confusion)
    return {
        "roc": plots.roc_picture(answers, judged),
        "pr": plots.pr_picture(answers, judged),
        "reliability": plots.reliability_picture(answers, judged),
        "confusion": mixed,
    }


def _panels(subject: Subject, found: Evaluation, count: int) -> tuple[Shown, ...]:
    """Draw the films that the package was surest of, right ones first."""
    answers, spec = scored(subject), subject.declared.heat
    shown = []
    for example in examples(answers, found.judged, count, exclusive=subject.declared.exclusive):
        film, name = subject.manifest.films[example.film], answers.classes[example.k]
        truth = [b.box for b in subject.boxes.get(film.file, ()) if name in b.classes]
        heat = subject.answers.map_of(example.film, example.k)
        picture = panel(decode(subject.manifest.folder, film), heat, spec, truth)
        said = float(answers.probability[example.film, example.k])
        flat = heat is None or not float(heat.max()) > float(heat.min())
        caption = words.example_caption(example, answers.classes, said) + " The map is empty." * flat
        shown.append(Shown(film.told, caption, example.verdict == "hit", picture))
    return tuple(shown)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def figures_table(found: Figures) -> Table:
    """Show the classes that have positive films, and their mean."""
    table = Table(title=f"{found.films} films, {found.patients} patients", title_justify="left")
    for heading in ("class", "positives", "AUROC", "95 %", "within source"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for each in found.classes:
        if each.positives:
            table.add_row(each.class_id, str(each.positives), *_cells(each.auroc), _cells(each.within)[0])
    table.add_section()
    table.add_row(f"mean of {len(found.judged)} reported", "", *_cells(found.macro), _cells(found.macro_within)[0])
    return table


def _cells(estimate: Estimate) -> tuple[str, str]:
    if estimate.value is None:
        return "-", "-"
    known = estimate.low is not None and estimate.high is not None
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}" if known else "-"
