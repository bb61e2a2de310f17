"""From a run to a package that the daemon loads, and back to the figures its card tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from cxrd.inference.engine import load
from cxrd.inference.packages import read_package
from cxrd.inference.reference import read_reference
from cxrd.inference.trial import parse_trial
from cxrd_models.cli import app
from cxrd_models.data.manifest import read_manifest
from cxrd_models.data.tasks import NIH14
from cxrd_models.errors import DataError, RecipeError, WeightsError
from cxrd_models.evaluate.command import Options, evaluate_package
from cxrd_models.evaluate.figures import Scored
from cxrd_models.evaluate.package import predictions
from cxrd_models.export.package import export_run
from cxrd_models.recipe import Recipe
from cxrd_models.train.initial import Initial
from cxrd_models.train.prepare import Start
from cxrd_models.train.run import train
from cxrd_models.train.watch import Watch

WriteLabels = Callable[[Path, Sequence[tuple[str, ...]]], None]
STARTERS = ("charm/1.1.0", "cnn_transformer/1.0.0", "deit_scm/1.1.0", "hybrid_lung_vit/1.0.0", "medconvformer/1.0.0")
STARTER = "models/starter"
TINY = Recipe.model_validate(
    {
        "id": "tiny",
        "version": "1.0.0",
        "title": "a test",
        "architecture": "charm",
        "size": "small",
        "task": "nih14",
        "data_licence": "made for this test",
        "preprocess": {"height": 64, "width": 64},
        "model": {"reduction": 128, "hidden": 16, "slots": 28, "rare_prevalence": 0.5},
        "guard": {"coarsest_side": 16},
        "report": {"min_train": 1, "min_val": 1, "min_test": 1},
        "use": {"text": "tests", "views": ["PA"]},
        "phases": [{"name": "head", "epochs": 1, "batch": 4, "rates": {"head.*": 1e-3}}],
    }
)


def quiet() -> Watch:
    return Watch(None, Console(file=StringIO()))


def gone(*_: object) -> None:
    raise DataError("the disk is gone")


def test_a_run_becomes_a_package_that_the_daemon_loads(folder: Path, tmp_path: Path, write_labels: WriteLabels) -> None:
    """Train, export, load with the engine, judge: classes without films are silent and say why."""
    run, out = tmp_path / "run", tmp_path / "packages"
    rows = [tuple(line.split(",")) for line in (folder / "labels.csv").read_text().splitlines()[1:]]
    write_labels(folder, [(str(folder / file), *rest) for file, *rest in rows])  # as of films that lie elsewhere
    with pytest.raises(WeightsError, match="no finished run"):
        export_run(run, out, None, quiet())
    train(TINY, Start(folder, run, Initial("random"), resume=False, recipe="tiny"), quiet())
    with pytest.MonkeyPatch.context() as broken, pytest.raises(DataError, match="the disk is gone"):
        broken.setattr("cxrd_models.export.package.judge", gone)
        export_run(run, out, None, quiet())
    assert [] == [path for path in out.rglob("*") if path.is_file()]
    package = export_run(run, out, None, quiet())
    assert ["tiny"] == [path.name for path in out.iterdir()]
    assert out / "tiny" / "1.0.0" == package
    reference = read_reference(package, read_package(package)[0])
    lengths = {len(values) for values in (*reference.scores.values(), *reference.inputs.values())}
    assert ({"brightness", "contrast"}, 1) == (set(reference.inputs), len(lengths))

    manifest, _ = read_package(package)
    by_id = {c.id: c for c in manifest.classes}
    assert by_id["Mass"].reported
    assert by_id["Mass"].threshold is not None
    assert not by_id["Hernia"].reported
    assert by_id["Hernia"].threshold is None
    assert "0 positive train films (needs 1)" in by_id["Hernia"].note

    assert "nothing kept it from telling by resolution" in (package / "card.md").read_text("utf-8")

    outputs = load(package, provider="cpu").run(np.full((3, 1, 64, 64), 0.5, np.float32))
    assert outputs.probs.shape == (3, 14)
    assert outputs.heat is not None
    assert outputs.heat.shape == (3, 14, 2, 2)

    found = evaluate_package(package, folder, tmp_path / "evaluation", quiet())
    assert found.own_data
    assert "whom the package has not learnt from" in (tmp_path / "evaluation" / "report.html").read_text("utf-8")
    told = json.loads((package / "evaluation" / "metrics.json").read_text())
    assert told["test"]["macro"]["value"] == found.macro.value
    assert told["leveled"]["films"] == found.films
    parity = json.loads((package / "evaluation" / "parity.json").read_text())
    assert parity["model.onnx"]["films"] == 24  # 32 are asked for: six of test, then those of val and train
    papers = [file for made in (package, tmp_path / "evaluation") for file in made.rglob("*") if file.is_file()]
    assert len(papers) > 10
    assert not [file for file in papers if str(tmp_path).encode() in file.read_bytes()]
    trials = [
        parse_trial((at / "predictions.csv").read_text(), "")
        for at in (package / "evaluation", tmp_path / "evaluation")
    ]
    assert trials[0].films == trials[1].films

    with pytest.raises(RecipeError, match="exists"):
        export_run(run, out, None, quiet())
    write_labels(folder, [(str(folder / file), *rest) for file, *rest in rows[:-1]])
    with pytest.raises(DataError, match="not the data"):
        export_run(run, tmp_path / "other", None, quiet())


def test_a_packages_predictions_tell_which_films_are_one_patients(folder: Path, write_labels: WriteLabels) -> None:
    """By numbers that lead nowhere, so that the gate of a promotion draws patients, not films."""
    rows = [tuple(line.split(",")) for line in (folder / "labels.csv").read_text().splitlines()[1:]]
    write_labels(
        folder, [(file, split, f"secret-{i // 8}-{split}", *rest) for i, (file, split, _, *rest) in enumerate(rows)]
    )
    manifest = read_manifest(folder, NIH14)
    test = manifest.rows_of("test")
    scored = Scored(
        classes=NIH14.classes,
        target=manifest.targets()[test],
        probability=np.full((len(test), 14), 0.5),
        baseline=None,
        source=manifest.sources()[test],
        patient=manifest.patients()[test],
        threshold=(0.5,) * 14,
    )
    text = predictions(manifest, "test", scored)
    trial = parse_trial(text, "here")
    assert ("secret" in text, 6, 3) == (False, len(trial.films), len(set(trial.patients)))
    assert trial.patients[0::2] == trial.patients[1::2]
    again = manifest.model_copy(
        update={"films": tuple(film.model_copy(update={"patient": f"of {film.patient}"}) for film in manifest.films)}
    )
    assert text == predictions(again, "test", scored)  # what is written follows from no patient's name


def test_a_package_tells_no_path_of_its_maker(root: Path) -> None:
    """Neither the graphs nor the texts of the starter packages name a folder of the machine that made them."""
    packages, places = root / STARTER, (str(root).encode(), b"/home/", b"/tmp/", b"site-packages")
    for file in (f for f in packages.rglob("*") if f.is_file()):
        content = file.read_bytes()
        assert not [p for p in places if p in content], file


def test_the_starter_packages_are_five_small_and_whole(root: Path) -> None:
    """At most 60 MB in all, every digest right, every reported class with a threshold."""
    assert set(STARTERS) == {"/".join(f.parent.parts[-2:]) for f in (root / STARTER).rglob("manifest.json")}
    assert sum(f.stat().st_size for f in (root / STARTER).rglob("*") if f.is_file()) <= 60e6
    for starter in STARTERS:
        manifest, _ = read_package(root / STARTER / starter)
        assert all((c.threshold is not None) == c.reported for c in manifest.classes)
        assert any(c.reported for c in manifest.classes)


@pytest.mark.parametrize("starter", STARTERS)
def test_the_starter_card_tells_the_truth(starter: str, root: Path, films: Path, tmp_path: Path) -> None:
    """Judged again on the real test films, with today's preprocessing, a package has its stated figures."""
    package = root / STARTER / starter
    stated = read_package(package)[0].metrics
    found = evaluate_package(package, films / "cxr-open", tmp_path, quiet(), Options(panels=0))
    again = {f"auroc_{c.class_id}": c.auroc.value for c in found.classes if c.auroc.value is not None}
    assert pytest.approx(again, abs=0.002) == {k: m.value for k, m in stated.items() if k in again}


def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    """An unknown recipe and an unfinished run end with exit code 2 and one sentence."""
    arguments = ["train", "nosuch", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 2
    assert "there is no recipe nosuch" in answer.output
    answer = CliRunner().invoke(app, ["export", str(tmp_path), "--out", str(tmp_path / "o")])
    assert answer.exit_code == 2
    assert "no finished run" in answer.output
