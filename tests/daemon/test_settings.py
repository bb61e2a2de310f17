"""One configuration, every fault at once."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cxrd import settings
from cxrd.errors import ConfigError
from cxrd.peers import Source
from cxrd.rules import Admission

COMPLETE = """
[dicom]
ae_title = "CXRD"
port = 11112
[[dicom.sources]]
name = "pacs"
ae_title = "PACS"
hosts = ["127.0.0.1"]
quiet_period_s = 2
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
send = ["sr", "sc"]
[database]
url = "sqlite:///var/cxrd.db"
[storage]
dir = "var/payload"
"""


def read(tmp_path: Path, text: str) -> settings.Settings:
    """Load a configuration text."""
    path = tmp_path / "cxrd.toml"
    path.write_text(text)
    return settings.load(path)


def test_the_documented_minimum_is_a_complete_configuration(tmp_path: Path) -> None:
    """The configuration of the README loads, and what it does not say has defaults."""
    loaded = read(tmp_path, COMPLETE)
    assert ("pacs", 2.0) == (loaded.dicom.sources[0].name, loaded.dicom.sources[0].quiet_period_s)
    assert ("sr", "sc") == loaded.destinations[0].send
    assert 8080 == loaded.web.port


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("StudyRootQueryRetrieveInformationModelFind", "is no storage class"),
        ("ComputedRadiographyImageStorag", "neither a UID nor a keyword"),
        ("1.2.840.10008.1.2.1", "is no storage class"),
        ("1.02.3", "neither a UID nor a keyword"),
    ],
)
def test_a_source_sends_storage_classes_only(tmp_path: Path, named: str, fault: str) -> None:
    """A UID that no list knows may be a vendor's; one that is known for something else is a slip."""
    with pytest.raises(ConfigError, match=fault):
        read(tmp_path, COMPLETE.replace("quiet_period_s = 2", f'sop_classes = ["{named}"]'))


def test_the_commented_file_equals_the_defaults(root: Path) -> None:
    """config/cxrd.toml says exactly what cxrd does without it."""
    assert settings.Settings() == settings.load(root / "config" / "cxrd.toml")


def test_the_commented_file_names_every_key(root: Path) -> None:
    """No key is undocumented."""
    text = (root / "config" / "cxrd.toml").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?\s*([a-z0-9_]+) = ", text, re.MULTILINE))
    assert set() == keys(settings.Settings) - named


def keys(model: type[BaseModel]) -> set[str]:
    """Names of all scalar keys of a settings tree."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        found |= set().union(*(keys(s) for s in sections)) if sections else {name}
    return found


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    """An operator repairs a configuration in one go."""
    with pytest.raises(ConfigError) as caught:
        read(
            tmp_path, '[dicom]\nport = 99999\nprot = 1\n[[destinations]]\nname = "p"\nae_title = "SEVENTEEN LETTERS!"\n'
        )
    message = str(caught.value)
    assert "5 fault(s)" in message
    for key in ("dicom.port", "dicom.prot", "destinations.0.ae_title", "destinations.0.host", "destinations.0.port"):
        assert key in message


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CXRD_<SECTION>__<KEY> changes one key and leaves its neighbours."""
    monkeypatch.setenv("CXRD_DICOM__PORT", "104")
    loaded = read(tmp_path, COMPLETE)
    assert (104, "CXRD", "pacs") == (loaded.dicom.port, loaded.dicom.ae_title, loaded.dicom.sources[0].name)


def test_settings_cross_a_process_border(tmp_path: Path) -> None:
    """Children get the supervisor's value."""
    loaded = read(tmp_path, COMPLETE)
    assert loaded == pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("title", "address", "expected"),
    [
        ("PACS", "127.0.0.1", "pacs"),
        ("PACS", "10.0.0.1", None),
        ("OTHER", "127.0.0.1", None),
        ("PACS ", "127.0.0.1", "pacs"),
    ],
)
def test_a_source_is_an_ae_title_at_an_address(tmp_path: Path, title: str, address: str, expected: str | None) -> None:
    """Both must fit."""
    source = read(tmp_path, COMPLETE).dicom.source_for(title, address)
    assert expected == (source.name if source else None)


@pytest.mark.parametrize(("address", "fits"), [("::ffff:10.0.0.5", True), ("::ffff:11.0.0.5", False), ("::1", False)])
@pytest.mark.parametrize("host", ["10.0.0.0/8", "10.0.0.5", "pacs.hospital"])
def test_an_ipv4_caller_is_known_at_an_ipv6_socket(
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    address: str,
    fits: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """``bind = "::"`` shows it as ::ffff:a.b.c.d."""
    found = [(None, None, None, "", ("10.0.0.5", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: found)
    assert fits is Source(name="pacs", ae_title="PACS", hosts=(host,)).allows(address)


def test_a_missing_file_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    """A typing error in --config must not start a node with no allowlist."""
    with pytest.raises(ConfigError, match="does not exist"):
        settings.load(tmp_path / "nowhere.toml")


def test_a_file_that_cannot_be_read_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    """The disk fails (as a process's own memory does at address 0), or its name cannot be looked up."""
    (tmp_path / "cxrd.toml").symlink_to("/proc/self/mem")
    for path, why in ((tmp_path / "cxrd.toml", "Input/output error"), (tmp_path / ("x" * 300), "name too long")):
        with pytest.raises(ConfigError, match=f"cannot be read: .*{why}") as caught:
            settings.load(path)
        assert "let the user" in caught.value.hint


@pytest.mark.parametrize(
    ("rules", "shapes"),
    [
        ({"inversion": "note"}, True),
        ({"content": "note"}, True),
        ({"frontal_named": 0.3}, True),
        ({"frontal_words": ("VENTRAL",)}, True),
        ({"smallest": 100}, False),
        ({"content_model": "elsewhere"}, False),
    ],
)
def test_rules_that_change_what_is_said_of_a_film_shape_results(rules: dict[str, Any], *, shapes: bool) -> None:
    """Another digest, so that a study that is requeued gets a report of its own; one that only admits changes none."""
    changed = settings.Settings(admission=Admission.model_validate(rules))
    assert shapes == (changed.digest() != settings.Settings().digest())
