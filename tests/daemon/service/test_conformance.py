"""The statement says what is really negotiated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom._uid_dict import UID_dictionary as UIDS
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from cxrd.commitment import PUSH_MODEL
from cxrd.delivery.reports import Reports
from cxrd.delivery.sender import Outgoing, send
from cxrd.findings import ArtefactKind
from cxrd.intake.listener import Listener
from cxrd.peers import Destination, DestinationTls, Dicom, ListenerTls, Source
from cxrd.report.products import PRODUCTS
from cxrd.service.conformance import statement
from cxrd.settings import Database as DatabaseSection
from cxrd.settings import Settings, load
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from support.database import fresh
from support.observing import Noted

SYNTAXES = [uid for uid, (_, kind, *_rest) in UIDS.items() if kind == "Transfer Syntax"]
CR, VERIFICATION = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.1"


def table(said: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading, a mapping for each row."""
    lines = iter(said.split(f" {heading}\n", 1)[1].splitlines())
    head = next(line for line in lines if line.startswith("|"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True)))
    return rows


def test_the_copy_in_the_repository_is_that_of_the_default_configuration(root: Path) -> None:
    """`make conformance` writes it again."""
    written = (root / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert written == statement(load(root / "config" / "cxrd.toml"))


@contextmanager
def listening(database: Database, folder: Path, settings: Settings | None = None) -> Iterator[int]:
    """A running listener's port."""
    dicom, reports = Dicom(bind="127.0.0.1", port=0), Reports(database, settings or Settings(), Metrics())
    store = PayloadStore(folder)
    listener = Listener(dicom, database, store, min_free_bytes=0, observer=Noted(), reports=reports)
    yield listener.start()
    listener.stop()


def negotiated(port: int, asked: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which pairs of SOP class and transfer syntax a listener accepts, each asked for by itself."""
    taken = set()
    for start in range(0, len(asked), 128):
        part = [build_context(*pair) for pair in asked[start : start + 128]]
        association = AE("PACS").associate("127.0.0.1", port, ae_title="CXRD", contexts=part)
        taken |= {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
        association.release()
    return taken


def test_the_listener_accepts_what_the_statement_says_and_nothing_else(tmp_path: Path) -> None:
    """Every class in one syntax, and every transfer syntax there is for some classes, asked of a running listener."""
    said = statement(Settings())
    everywhere = {row["UID"] for row in table(said, "Transfer syntaxes")}
    stated: dict[str, set[str]] = {}
    for row in table(said, "Presentation contexts accepted"):
        alone = {uid.strip() for uid in row["Transfer syntaxes"].split(",")}
        stated[row["UID"]] = everywhere if row["Transfer syntaxes"] == "all of 4.1.1" else alone
    classes = sorted({*stated, "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.2.2.1", PUSH_MODEL})
    asked = [(c, "1.2.840.10008.1.2.1") for c in classes] + [(c, s) for c in (CR, VERIFICATION) for s in SYNTAXES]
    expected = {(c, s) for c, s in asked if s in stated.get(c, set())}
    with fresh("sqlite", tmp_path) as database, listening(database, tmp_path / "payload") as port:
        assert expected == negotiated(port, asked)


def test_the_sender_proposes_what_the_statement_says(tmp_path: Path) -> None:
    """For every kind of object, asked of a peer that notes what it is asked."""
    heard: list[Any] = []
    peer = AE("PACS")
    peer.add_supported_context(VERIFICATION)
    asked: list[Any] = [(evt.EVT_REQUESTED, lambda event: heard.append(event.assoc.requestor.primitive))]
    server = peer.start_server(("127.0.0.1", 0), block=False, evt_handlers=asked)
    assert server is not None
    destination = Destination(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=server.server_address[1], send=tuple(ArtefactKind)
    )
    objects = [Outgoing(p.sop_class, "1.2.3", "1.2.840.10008.1.2.1", tmp_path / "none") for p in PRODUCTS.values()]
    list(send(destination, "CXRD", objects))
    server.shutdown()
    (request,) = heard
    asked_for = request.presentation_context_definition_list
    proposed = {(str(c.abstract_syntax), str(s)) for c in asked_for for s in c.transfer_syntax}
    rows = table(statement(Settings(destinations=(destination,))), "Presentation contexts proposed")
    stated = {(row["UID"], "1.2.840.10008.1.2.1") for row in rows if row["UID"] != VERIFICATION}
    assert stated == proposed
    assert {"pacs"} == {row["Destinations"] for row in rows if row["UID"] != VERIFICATION}


def test_a_running_configuration_is_stated_and_its_secrets_are_not() -> None:
    """Sources, destinations and what each gets; never the password of a database."""
    source = Source(name="ward", ae_title="WARD", hosts=("10.0.0.0/8",))
    destination = Destination(name="viewer", ae_title="VIEW", host="10.1.1.1", port=104, send=("gsps", "sr-text"))
    said = statement(
        Settings(
            dicom=Dicom(ae_title="NODE", sources=(source,)),
            destinations=(destination,),
            database=DatabaseSection(url="postgresql+psycopg://cxrd:secret@db/cxrd"),
        )
    )
    assert all(word in said for word in ("`NODE`", "| ward | WARD | 10.0.0.0/8 |", "VIEW", "10.1.1.1:104"))
    assert "secret" not in said
    sent = {row["`send`"] for row in table(said, "Presentation contexts proposed")} - {""}
    assert {"gsps", "sr-text"} == sent


def test_tls_and_the_limits_of_a_source_are_stated(tmp_path: Path) -> None:
    """Ports, profiles with their suites, certificates, and what a source may send."""
    tls = ListenerTls(certificate=tmp_path / "c", key=tmp_path / "k", ca=tmp_path / "a", profile="bcp195-nd")
    source = Source(
        name="ward", ae_title="WARD", certificates=("ward.example",), max_associations=2, max_object_mb=64,
        sop_classes=("DigitalXRayImageStorageForPresentation",),
    )  # fmt: skip
    there = Destination(name="p", ae_title="P", host="h", port=2762, tls=DestinationTls(ca=tmp_path / "a"))
    said = statement(Settings(dicom=Dicom(tls=tls, sources=(source,)), destinations=(there,)))
    assert "port 11112, DICOM TLS port 2762" in said
    assert "| ward | WARD | any | ward.example | 2 | 64 MiB |" in said
    assert (
        "ward may send only Digital X-Ray Image Storage - For Presentation in the transfer syntaxes of 4.1.1." in said
    )
    assert "B.12 BCP 195" in table(said, "Destinations")[0]["TLS"]
    offered = {
        row["Key `profile`"]: row["TLS 1.2"] for row in table(said, "Secure transport connection profiles (PS3.15)")
    }
    assert "ECDHE-RSA-AES256-GCM-SHA384" in offered["bcp195-nd"]
    assert "CHACHA20" not in offered["bcp195-nd"]
    assert "CBC" not in said


def test_a_destination_that_commits_is_stated_with_what_the_listener_hears_then(tmp_path: Path) -> None:
    """And the listener of such a configuration accepts the class, which that of another does not."""
    destination = Destination(name="archive", ae_title="A", host="127.0.0.1", port=104, commit=True, commit_hold_s=7)
    settings = Settings(destinations=(destination,))
    said = statement(settings)
    assert [("archive", "7.0 s")] == [tuple(row.values()) for row in table(said, "Storage Commitment")]
    assert "| Storage Commitment Push Model (section 4.2.4) | yes | no |" in said
    asked = [(PUSH_MODEL, "1.2.840.10008.1.2.1")]
    with fresh("sqlite", tmp_path) as database, listening(database, tmp_path / "payload", settings) as port:
        assert PUSH_MODEL in said
        assert set(asked) == negotiated(port, asked)


@pytest.mark.parametrize("kind", list(ArtefactKind))
def test_every_kind_has_its_table_of_attributes(root: Path, kind: ArtefactKind) -> None:
    """Patient and study attributes come from the film, and may be empty where the film's are."""
    said = (root / "docs" / "conformance.md").read_text(encoding="utf-8").split(f"`{kind}`: ", 1)[1].split("\n### ")[0]
    assert "| (0010,0020) | Patient ID | LO | VNAP | the film |" in said
    assert "| (0020,000D) | Study Instance UID | UI | ALWAYS | the film |" in said
    assert "| Contributing Equipment Sequence | SQ | ALWAYS | cxrd |" in said
