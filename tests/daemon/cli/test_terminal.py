"""The command line at a terminal: completion, colours, exit codes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cxrd.cli import printing
from cxrd.store.database import Database
from support.packages import make_package
from support.rows import STUDY, arrive

CXRD = str(Path(sys.executable).with_name("cxrd"))
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38;)[0-9;]*m")
ARCHIVE = '[[archives]]\nname = "past"\nae_title = "OLD"\nhost = "127.0.0.1"\nport = 104\n'


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration with a study, a destination, an archive, a source and a model."""
    make_package(tmp_path / "models")
    path = tmp_path / "cxrd.toml"
    path.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/cxrd.db"\n[storage]\ndir = "{tmp_path}/payload"\n'
        f'[models]\ndir = "{tmp_path}/models"\n[[dicom.sources]]\nname = "xray"\nae_title = "XRAY"\n'
        f'[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n{ARCHIVE}'
    )
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    database.upgrade()
    arrive(database, accession="A-1")
    return str(path)


def offered(*words: str) -> list[str]:
    """What bash is told when TAB is pressed behind the last word."""
    line = {"_CXRD_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["cxrd", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run([CXRD], env={**os.environ, **line}, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        ("studies show", STUDY[:3], [STUDY]),
        ("explain", "A", ["A-1"]),
        ("studies requeue", "9", []),
        ("queue pause", "p", ["pacs"]),
        ("queue show --destination", "", ["pacs"]),
        ("studies ls --source", "x", ["xray"]),
        ("backfill show", "", ["past"]),
        ("models promote", "", ["tiny@1.0.0"]),
        ("models rollback", "t", ["tiny"]),
    ],
)
def test_names_are_completed(config: str, words: str, typed: str, expected: list[str]) -> None:
    """From the configuration that the line names, and its database."""
    first, *rest = words.split()
    options = rest[1:]
    assert expected == offered(first, *rest[:1], "--config", config, *options, typed)


def test_a_completion_that_can_read_nothing_is_silent(tmp_path: Path) -> None:
    """A person is typing; what is wrong is told by the command."""
    broken = tmp_path / "cxrd.toml"
    broken.write_text("[database")
    away = tmp_path / "away.toml"
    away.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/nowhere/cxrd.db"\n[models]\ndir = "{tmp_path}"\n')
    for config in (broken, away, tmp_path / "none.toml"):
        assert [] == offered("studies", "show", "--config", str(config), "")
    assert [] == offered("models", "promote", "--config", str(away), "")


def test_bash_completes_by_the_script_that_is_installed(config: str) -> None:
    """As in a shell that has loaded it."""
    shown = {**os.environ, "_CXRD_COMPLETE": "source_bash"}
    script = subprocess.run([CXRD], env=shown, capture_output=True, text=True, check=True).stdout
    words = f"COMP_WORDS=({CXRD} explain --config {config} {STUDY[:3]}); COMP_CWORD=4"
    asked = f"{script}\n{words}\n_cxrd_completion {CXRD}\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert STUDY == done.stdout.strip()
    assert "complete -o default -F _cxrd_completion cxrd" in script


def at_terminal(words: list[str], **environment: str) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    told: Mapping[str, str] = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], **environment}
    with subprocess.Popen([CXRD, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=told):
        os.close(theirs)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    return written


@pytest.mark.parametrize("words", [["--help"], ["reconcile"]], ids=["help", "log"])
def test_no_color_leaves_colours_out(config: str, words: list[str]) -> None:
    """Of help and of the log, which have some without it."""
    words = [*words, "--config", config] if words == ["reconcile"] else words
    assert COLOUR.search(at_terminal(words))
    assert not COLOUR.search(at_terminal(words, NO_COLOR="1"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--version", 0),
        ("studies show 9.9", 1),  # it did not work
        ("models verify nowhere@1.0.0", 1),
        ("studies ls --nonsense", 2),  # the command is wrong
        ("studies", 2),
        ("queue retry many", 2),
        ("backfill start nobody --from 20200101", 2),  # the configuration has no such archive
    ],
)
def test_exit_codes(config: str, words: str, code: int) -> None:
    """One says that it did not work, two that it could not have."""
    options = [] if words in {"--version", "studies"} else ["--config", config]
    done = subprocess.run([CXRD, *words.split(), *options], capture_output=True, text=True, check=False)
    assert code == done.returncode
    assert "Traceback" not in done.stderr
    assert (code == 0) == bool(done.stdout) or words == "studies"  # which shows its help


def test_a_bad_configuration_is_exit_code_two(config: str) -> None:
    """With every fault."""
    Path(config).write_text('[dicom]\nport = "x"\n[web]\nport = -1\n')
    done = subprocess.run([CXRD, "studies", "ls", "--config", config], capture_output=True, text=True, check=False)
    assert (2, "") == (done.returncode, done.stdout)
    assert "dicom.port" in done.stderr
    assert "web.port" in done.stderr


def test_a_reader_that_leaves_is_no_fault_of_ours(config: str) -> None:
    """`cxrd reference cli | head` ends in silence."""
    piped = f"'{CXRD}' reference cli | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "# Commands" == done.stdout.strip()


def test_words_of_others_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, colons no picture, and nothing moves the cursor: a PACS may answer whatever it likes."""
    said = "status 0xA700 [pool] is [/full] :warning: \x1b[2J12\r9"
    printing.rows("Study [a]", ("said",), [{"said": said}], as_json=False)
    told = capsys.readouterr().out
    assert "Study [a]" in told
    assert "status 0xA700 [pool] is [/full] :warning: \ufffd[2J12\ufffd9" in told
