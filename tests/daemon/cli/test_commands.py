"""The command line, as a person and as a script uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cxrd.store.database import Database
from support.packages import make_package
from support.rows import STUDY, arrive, reported, rows

COMMANDS = (
    "init", "serve", "check", "demo", "send", "analyse", "studies ls", "studies show", "studies requeue", "queue ls",
    "queue pause", "queue resume", "queue show", "queue retry", "queue cancel", "explain", "audit verify",
    "audit export", "models ls", "models verify", "db upgrade", "db copy", "bench",
)  # fmt: skip


def cxrd(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run([sys.executable, "-m", "cxrd", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration with one study that was reported."""
    make_package(tmp_path / "models")
    path = tmp_path / "cxrd.toml"
    path.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/cxrd.db"\n[storage]\ndir = "{tmp_path}/payload"\n'
        f'[models]\ndir = "{tmp_path}/models"\n[dicom]\nport = 0\n[web]\nport = 0\n'
        '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 9\n'
    )
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    database.upgrade()
    arrive(database, accession="A-1")
    reported(database)
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    """Every command shows how it is called."""
    done = cxrd(*command.split(), "--help")
    assert 0 == done.returncode
    assert "Example: cxrd" in " ".join(done.stdout.split())


def test_studies_are_listed_for_people_and_programs(config: str) -> None:
    """A table, or one JSON object a line."""
    assert "reported" in cxrd("studies", "ls", "--config", config).stdout
    (line,) = cxrd("studies", "ls", "--json", "--config", config).stdout.splitlines()
    assert STUDY == json.loads(line)["uid"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--source", "pacs", "--text", "A-1"), 1), (("--source", "other"), 0), (("--text", "B-1"), 0),
        (("--since", "2001-01-01"), 1), (("--since", "2999-01-01"), 0), (("--state", "failed"), 0),
    ],
)  # fmt: skip
def test_studies_are_looked_for(config: str, words: tuple[str, ...], expected: int) -> None:
    """By state, source, time and text; the next page begins where the last one ended."""
    lines = cxrd("studies", "ls", "--json", *words, "--config", config).stdout.splitlines()
    assert expected == len(lines)
    for line in lines:
        done = cxrd("studies", "ls", "--json", "--after", json.loads(line)["place"], "--config", config)
        assert ("", 0) == (done.stdout, done.returncode)


@pytest.mark.parametrize("key", [STUDY, "A-1"])
def test_a_study_is_shown_by_uid_or_accession(config: str, key: str) -> None:
    """Images, findings, objects, deliveries and the audit trail."""
    found = json.loads(cxrd("studies", "show", key, "--json", "--config", config).stdout)
    assert ("Pneumonia", "present") == (found["findings"][0]["finding"], found["findings"][0]["answer"])
    assert {"instance_stored", "study_analysed", "objects_built"} <= {row["what"] for row in found["audit"]}
    assert "Pneumonia" in cxrd("studies", "show", key, "--config", config).stdout


def test_a_study_that_is_not_there_is_exit_code_one(config: str) -> None:
    """With what to do next."""
    done = cxrd("studies", "show", "9.9.9", "--config", config)
    assert 1 == done.returncode
    assert "cxrd studies ls" in done.stderr


def test_requeue_makes_a_study_ready_again(config: str) -> None:
    """And says how many jobs."""
    assert "ready again" in cxrd("studies", "requeue", STUDY, "--config", config).stdout


def test_a_destination_is_paused_and_resumed(config: str, tmp_path: Path) -> None:
    """Its results wait, which the list shows, and the trail tells who wanted it; a name that is none is said to be."""
    for word, paused in (("pause", True), ("resume", False)):
        assert 0 == cxrd("queue", word, "pacs", "--config", config).returncode
        lines = map(json.loads, cxrd("queue", "ls", "--json", "--config", config).stdout.splitlines())
        assert {("deliver", "pacs"): (1, paused)} == {
            (row["kind"], row["lane"]): (row["ready"], row["paused"]) for row in lines if row["lane"]
        }
    assert [("destination_paused", "operator"), ("destination_resumed", "operator")] == rows(
        Database(f"sqlite:///{tmp_path}/cxrd.db"), "SELECT what, actor FROM audit WHERE subject = 'pacs' ORDER BY id"
    )
    assert "infer" in cxrd("queue", "ls", "--config", config).stdout
    done = cxrd("queue", "pause", "nowhere", "--config", config)
    assert (1, True) == (done.returncode, "configured are: pacs" in done.stderr)


def test_check_finds_what_is_missing(config: str, tmp_path: Path) -> None:
    """Red lines, what to do, exit code 1; JSON for monitors."""
    graph = tmp_path / "models" / "tiny" / "1.0.0" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    done = cxrd("check", "--json", "--config", config)
    red = {row["name"]: row["todo"] for row in map(json.loads, done.stdout.splitlines()) if not row["ok"]}
    assert 1 == done.returncode
    assert {"model tiny 1.0.0", "destination pacs"} == set(red)
    assert all(red.values())


def test_packages_are_listed_and_verified(config: str, tmp_path: Path) -> None:
    """What would be loaded, and whether one is intact."""
    assert "tiny" in cxrd("models", "ls", "--config", config).stdout
    package = tmp_path / "models" / "tiny" / "1.0.0"
    assert "runs on" in cxrd("models", "verify", str(package)).stdout
    (package / "model.onnx").write_bytes(b"")
    assert 1 == cxrd("models", "verify", str(package)).returncode


def test_an_unknown_role_is_named(config: str) -> None:
    """Before anything starts."""
    done = cxrd("serve", "--roles", "listen,dance", "--config", config)
    assert (2, True) == (done.returncode, "dance" in done.stderr)


def test_a_bad_destination_is_named() -> None:
    """The form is shown."""
    done = cxrd("send", __file__, "--to", "nowhere")
    assert (2, True) == (done.returncode, "AETITLE@HOST:PORT" in done.stderr)


def test_training_without_pytorch_says_what_to_install() -> None:
    """The daemon's installation has none; with it, the trainer answers."""
    done = cxrd("train", "--help")
    if find_spec("torch") is None:
        assert (2, True) == (done.returncode, "cxrd[train]" in done.stderr)
    else:
        assert 0 == done.returncode


def test_bench_compares_packages_by_batch_size(tmp_path: Path) -> None:
    """A line for each package and size; what is no size is refused before anything is measured."""
    first, second = (str(make_package(tmp_path, id=name)) for name in ("one", "two"))
    done = cxrd("bench", first, second, "--batch", "1,4", "--runs", "2", "--provider", "cpu", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("one 1.0.0", 1), ("one 1.0.0", 4), ("two 1.0.0", 1), ("two 1.0.0", 4)] == [
        (line["package"], line["batch"]) for line in told
    ]
    assert all(0 < line["p50_ms"] <= line["p95_ms"] and line["films_per_s"] > 0 for line in told)
    refused = cxrd("bench", first, "--batch", "1,many")
    assert (2, True) == (refused.returncode, "1,many" in refused.stderr)
