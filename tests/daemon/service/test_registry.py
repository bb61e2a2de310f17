"""What an operator does with versions, on one host without a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxrd.demo.samples import samples
from cxrd.errors import ConfigError, CxrdError, PackageError
from cxrd.inference.lifecycle import Stage
from cxrd.inference.promotion import met
from cxrd.service.registry import Named, Registry
from cxrd.settings import Settings
from cxrd.store import observations, packages
from cxrd.store.database import Database
from cxrd.store.observations import Seen
from support.packages import CLASSES, make_package
from support.rows import STUDY, arrive, record, rows
from support.versions import judged

FILM = samples(salt="r", rows=256)["opacity"]
SECOND = Named("tiny", "2.0.0")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A node with one version that answers by being there."""
    judged(tmp_path / "models")
    return Settings.model_validate(
        {
            "database": {"url": f"sqlite:///{tmp_path}/cxrd.db"},
            "storage": {"dir": tmp_path / "payload"},
            "models": {"dir": tmp_path / "models", "shadow_films": 3},
            "inference": {"provider": "cpu"},
        }
    )


@pytest.fixture
def registry(settings: Settings) -> Registry:
    """Its registry."""
    return Registry(settings, FILM)


def known(settings: Settings) -> dict[str, str]:
    """Version to stage."""
    with Database(settings.database.url).read() as connection:
        return {e.version: str(e.stage) for e in packages.entries(connection)}


def changed(settings: Settings, **models: Any) -> Registry:
    """A registry under other settings."""
    tree = settings.model_dump()
    tree["models"] |= models
    return Registry(Settings.model_validate(tree), FILM)


def test_a_package_is_copied_whole_and_changes_no_answer(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    """What answered before is noted as active; adding the same again changes nothing."""
    source = judged(tmp_path / "new", "2.0.0")
    name, digest, new = registry.add(source)
    assert (SECOND, True) == (name, new)
    assert {"1.0.0": "active", "2.0.0": "added"} == known(settings)
    target = tmp_path / "models" / "tiny" / "2.0.0"
    assert {p.name for p in source.iterdir()} == {p.name for p in target.iterdir()}
    assert (name, digest, False) == registry.add(source)
    assert ["tiny"] == [p.name for p in (tmp_path / "models").iterdir()]


def test_a_number_is_never_given_twice(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """Neither beside other files nor beside another row; the files that are there stay."""
    registry.add(judged(tmp_path / "new", "2.0.0"))
    before = (tmp_path / "models/tiny/2.0.0/manifest.json").read_bytes()
    other = judged(tmp_path / "other", "2.0.0", title="Something else")
    with pytest.raises(PackageError, match="other bytes"):
        registry.add(other)
    assert before == (tmp_path / "models/tiny/2.0.0/manifest.json").read_bytes()
    for path in (tmp_path / "models/tiny/2.0.0").rglob("*.*"):
        path.unlink()
    (tmp_path / "models/tiny/2.0.0/evaluation").rmdir()
    (tmp_path / "models/tiny/2.0.0").rmdir()
    with pytest.raises(PackageError, match="known with digest"):
        registry.add(other)


def test_what_is_not_sound_is_not_added(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """An altered graph, a folder without a manifest; nothing of them is left behind."""
    source = judged(tmp_path / "new", "2.0.0")
    (source / "model.onnx").write_bytes(b"x" + (source / "model.onnx").read_bytes())
    with pytest.raises(PackageError, match="not the file of the manifest"):
        registry.add(source)
    with pytest.raises(PackageError, match=r"no readable manifest\.json"):
        registry.add(tmp_path)
    (source / "manifest.json").write_text("{}")
    with pytest.raises(PackageError, match="not valid"):
        registry.add(source)
    assert ["tiny"] == [p.name for p in (tmp_path / "models").iterdir()]
    assert "2.0.0" not in known(settings)


def test_a_copy_that_breaks_off_is_not_seen(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package has its name only when every byte of it is durable; then it can be added again."""

    def fail(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    source = judged(tmp_path / "new", "2.0.0")
    with monkeypatch.context() as patched, pytest.raises(PackageError, match="No space"):
        patched.setattr("cxrd.service.registry.sync_tree", fail)
        registry.add(source)
    assert not (tmp_path / "models/tiny/2.0.0").exists()
    assert registry.add(source)[2]


def test_starters_belong_to_the_release(settings: Settings, tmp_path: Path) -> None:
    """Nothing is written into them."""
    with pytest.raises(ConfigError, match=r"models\.dir is not set"):
        changed(settings, dir=None).add(judged(tmp_path / "new", "2.0.0"))


def observed(settings: Settings, active: list[float], shadow: list[float]) -> None:
    """Let both versions have judged films."""
    database = Database(settings.database.url)
    arrive(database)
    with database.write() as connection:
        now = database.now(connection)
        made = record(connection, now)
        for version, scores, stage in (("1.0.0", active, "active"), ("2.0.0", shadow, "shadow")):
            seen = {str(i): [Seen("tiny", version, {}, dict.fromkeys(CLASSES, p))] for i, p in enumerate(scores)}
            observations.record(connection, now, made, STUDY, seen, Stage(stage))


def test_a_version_looks_on_then_answers_then_goes(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """The gate stays closed until it has seen enough; the audit keeps what the gate found."""
    registry.add(judged(tmp_path / "new", "2.0.0"))
    registry.shadow(SECOND)
    found = registry.gate(SECOND)
    assert ["shadow"] == [r.name for r in found if not r.ok]
    with pytest.raises(PackageError, match="is not promoted: shadow"):
        registry.promote(SECOND, found, reason="", force=False)

    observed(settings, [0.1, 0.9, 0.2], [0.2, 0.8, 0.1])
    active, looks_on, lines, total = registry.compare("tiny")
    assert ("1.0.0", "2.0.0", 1.0) == (active.version, looks_on.version, total.share)
    assert {3} == {line.films for line in lines}
    found = registry.gate(SECOND)
    assert met(found), found
    registry.promote(SECOND, found, reason="", force=False)
    assert {"1.0.0": "added", "2.0.0": "active"} == known(settings)
    ((detail,),) = rows(Database(settings.database.url), "SELECT detail FROM audit WHERE what = 'model_promoted'")
    told = json.loads(detail)
    assert (False, "1.0.0") == (told["forced"], told["before"])
    assert ["evaluation", "classes", "areas", "shadow"] == [r["name"] for r in told["gate"]]

    assert ("2.0.0", "1.0.0") == registry.roll_back("tiny", "worse at night")
    registry.retire(SECOND, "worse at night", force=False)
    for step in (registry.gate, registry.shadow):
        with pytest.raises(PackageError, match=r"is retired .*export it again under a higher version"):
            step(SECOND)


def test_force_is_told(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """A worse version may be wanted; the trail says who overruled what, and why."""
    registry.add(judged(tmp_path / "new", "2.0.0", skill=0.5))
    found = registry.gate(SECOND)
    assert not met(found)
    registry.promote(SECOND, found, reason="licence of the old one ends", force=True)
    ((detail,),) = rows(Database(settings.database.url), "SELECT detail FROM audit WHERE what = 'model_promoted'")
    assert (True, "licence of the old one ends") == (json.loads(detail)["forced"], json.loads(detail)["reason"])


def test_no_gate_opens_for_what_could_not_answer(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """Files that changed, a pin of the configuration, thresholds that fit no class: not even by force."""
    registry.add(judged(tmp_path / "new", "2.0.0"))
    with pytest.raises(ConfigError, match=r"pins tiny@1\.0\.0"):
        changed(settings, enabled=["tiny@1.0.0"]).gate(SECOND)
    with pytest.raises(ConfigError, match="no such class"):
        changed(settings, thresholds={"tiny": {"Nothing": 0.5}}).gate(SECOND)
    judged(tmp_path / "models", "2.0.0", title="Something else")
    for step in (registry.gate, registry.shadow):
        with pytest.raises(PackageError, match="the one that was added has"):
            step(SECOND)
    with pytest.raises(CxrdError, match="not known"):
        registry.shadow(Named("tiny", "7.0.0"))


def test_the_list_names_every_version(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    """Those that lie here and those that are known, with stage, use, figures and what is wrong."""
    registry.add(judged(tmp_path / "new", "2.0.0"))
    make_package(tmp_path / "models", version="3.0.0")
    graph = tmp_path / "models/tiny/2.0.0/model.onnx"
    graph.write_bytes(b"x")
    with Database(settings.database.url).read() as connection:
        entries = packages.entries(connection)
    found = {row["version"]: row for row in registry.rows(entries, {})}
    assert {"1.0.0": "active", "2.0.0": "added", "3.0.0": "found"} == {v: r["stage"] for v, r in found.items()}
    assert "mean AUROC 0.900 (0.880 to 0.920) on 200 films" == found["1.0.0"]["metrics"]
    assert "PA/AP" == found["1.0.0"]["intended_use"]
    assert "not the file of the manifest" in found["2.0.0"]["fault"]


def test_a_version_is_written_with_an_at() -> None:
    """Anything else is refused with the form."""
    for text in ("tiny", "@1.0.0", "tiny@"):
        with pytest.raises(ConfigError, match="ID@VERSION"):
            Named.of(text)
