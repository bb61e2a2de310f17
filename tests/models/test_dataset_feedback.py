"""``cxrd dataset feedback``: films that a node judged and people have judged since."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cxrd.peers import Destination
from cxrd.settings import Models, Settings, Storage
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd_models.cli import app
from support.browsing import Filled, fill
from support.packages import CLASSES, make_package

PACS = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
OTHERS = ("normal", "large_heart", "inverse")
OWN = {"task": {"id": "own", "classes": [*CLASSES], "kind": "multilabel", "absent": "clear"}, "recipe": {"task": "own"}}
"""Record of a run that learnt a data set's own labels."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A node that has worked with a tiny model."""
    folder = tmp_path_factory.mktemp("node")
    settings = Settings(storage=Storage(min_free_mb=0), destinations=(PACS,), models=Models(dir=folder / "models"))
    database, payload = Database(f"sqlite:///{folder}/cxrd.db"), PayloadStore(folder / "payload")
    database.upgrade()
    return Filled(settings, database, payload, fill(database, payload, settings, folder))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the same classes that says what it was made for."""
    return make_package(tmp_path / "packages", papers={"evaluation/run.json": json.dumps(OWN).encode()})


def feedback(node: Filled, folder: Path, task: object, verdicts: Iterable[tuple[str, str, str]]) -> Result:
    """What the command says to a table of verdicts; its data set is ``folder/data``."""
    table = folder / "verdicts.csv"
    with table.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("study_uid", "class", "verdict"), *verdicts])
    url, payloads = str(node.database.engine.url), str(Path(str(node.database.engine.url.database)).parent / "payload")
    words = [
        "--database",
        url,
        "--payloads",
        payloads,
        "--task",
        str(task),
        "--salt",
        "k",
        "--out",
        str(folder / "data"),
    ]
    return CliRunner().invoke(app, ["dataset", "feedback", str(table), *words, "--out", str(folder / "data")])


def said(done: Result) -> str:
    """Its complaint; a terminal's lines may end anywhere."""
    assert 2 == done.exit_code
    return " ".join(done.stderr.split())


def made(folder: Path) -> list[dict[str, str]]:
    """Rows of the data set."""
    with (folder / "data" / "labels.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def said_of(node: Filled, name: str) -> dict[str, str]:
    """The node's own answer on each class of a study."""
    with node.database.read() as connection:
        found = views.study(connection, node.studies[name])
    assert found is not None
    return {row["finding"]: row["answer"] for row in found.findings}


def test_a_package_tells_which_classes_are_judged(node: Filled, package: Path, tmp_path: Path) -> None:
    """Its own, whatever they are; a confirmed answer is the node's, a rejected one its contrary."""
    wanted = {name: "present" if name == "Effusion" else "absent" for name in CLASSES}
    verdicts = [
        (node.studies[study], name, "confirmed" if said_of(node, study)[name] == answer else "rejected")
        for study in OTHERS
        for name, answer in wanted.items()
    ]
    assert {"confirmed", "rejected"} == {word for *_, word in verdicts}
    done = feedback(node, tmp_path, package, verdicts)
    assert 0 == done.exit_code, done.output
    rows = made(tmp_path)
    assert ["Effusion"] * len(OTHERS) == [row["label"] for row in rows]
    assert len(rows) == len({row["patient_id"] for row in rows})
    assert not any(node.studies[name] in json.dumps(rows) for name in OTHERS)
    assert "feedback" in json.loads((tmp_path / "data" / "dataset.json").read_text())["builder"]


def test_what_the_verdicts_leave_open_is_left_out(node: Filled, package: Path, tmp_path: Path) -> None:
    """So is a study that the node never had; both are counted."""
    verdicts = [(node.studies[n], name, "absent") for n in OTHERS for name in CLASSES]
    open_one = [(node.studies["opacity"], "Effusion", "absent"), ("9.9", "Effusion", "present")]
    done = feedback(node, tmp_path, package, [*verdicts, *open_one])
    assert 0 == done.exit_code, done.output
    assert ["clear"] * len(OTHERS) == [row["label"] for row in made(tmp_path)]
    left_out = json.loads((tmp_path / "data" / "dataset.json").read_text())["left_out"]
    assert {"study unknown to the database": 1, "verdicts leave a class open": 1} == left_out


@pytest.mark.parametrize(
    ("verdict", "fault"),
    [
        (("Edema", "present"), "class 'Edema' is not one of own"),
        (("Effusion", "maybe"), "'maybe' is not present, absent, confirmed or rejected"),
    ],
)
def test_a_wrong_verdict_is_named(
    node: Filled, package: Path, tmp_path: Path, verdict: tuple[str, str], fault: str
) -> None:
    """With its row; no data set is begun."""
    done = feedback(node, tmp_path, package, [(node.studies["opacity"], *verdict)])
    assert fault in said(done)
    assert "row 2" in said(done)
    assert not (tmp_path / "data").exists()


def test_a_package_without_a_record_is_named(node: Filled, tmp_path: Path) -> None:
    """It cannot say what it was made for."""
    silent = make_package(tmp_path / "packages")
    done = feedback(node, tmp_path, silent, [(node.studies["opacity"], "Effusion", "absent")])
    assert "a package of cxrd export has it" in said(done)


def test_the_starter_packages_say_what_they_were_made_for(node: Filled, root: Path, tmp_path: Path) -> None:
    """As the guide has it."""
    done = feedback(node, tmp_path, root / "models/starter/charm/1.1.0", [(node.studies["opacity"], "Edema", "never")])
    assert "'never' is not present" in said(done)
