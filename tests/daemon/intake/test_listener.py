"""What a sender is told, and what is on disk when it is told."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import create_file_meta
from sqlalchemy import text

from cxrd.delivery.sender import Outgoing, send
from cxrd.errors import Reason
from cxrd.intake.contexts import TRANSFER_SYNTAXES
from cxrd.intake.listener import KEPT_ASIDE, OUT_OF_RESOURCES, SUCCESS, Request
from cxrd.peers import Destination, Source
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support import bombs
from support.datasets import CR, DX, encoded, film
from support.door import SOURCES, Door
from support.node import until


@pytest.fixture
def door(database: Database, payload: PayloadStore) -> Iterator[Door]:
    """A listener with room."""
    made = Door(database, payload)
    yield made
    made.listener.stop()


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    """Rows of a query."""
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_success_means_bytes_and_rows(door: Door, database: Database, payload: PayloadStore) -> None:
    """After 0x0000 the object is on disk under its hash and the study waits for analysis."""
    dataset = film()
    assert SUCCESS == door.store(dataset)
    ((sha, uid, study),) = rows(database, "SELECT sha256, sop_uid, study_uid FROM instance")
    assert (dataset.SOPInstanceUID, dataset.StudyInstanceUID) == (uid, study)
    assert dataset.PixelData in payload.get(str(sha))
    assert [("infer", "ready", 1)] == rows(database, "SELECT kind, state, rev FROM job")
    assert [("instance_stored", uid)] == rows(database, "SELECT what, subject FROM audit")
    assert [("pacs", "accepted")] == door.noted.associations
    assert ("pacs", "stored") == door.noted.instances[0][:2]


def test_the_same_object_again_changes_nothing(door: Door, database: Database) -> None:
    """A resend is acknowledged and does not start a second analysis."""
    dataset = film()
    assert [SUCCESS, SUCCESS] == [door.store(dataset), door.store(dataset)]
    assert [(1,)] == rows(database, "SELECT rev FROM job")
    assert ["stored", "duplicate"] == [outcome for _, outcome, _ in door.noted.instances]


def test_a_film_is_the_same_film_after_an_upgrade(
    door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No version of a library is part of its bytes: a resend would be a conflict for ever."""
    dataset = film()
    assert SUCCESS == door.store(dataset)
    newer = {"implementation_version": "PYNETDICOM_999", "implementation_uid": UID("1.2.999")}
    monkeypatch.setattr(create_file_meta, "__kwdefaults__", newer)
    assert SUCCESS == door.store(dataset)
    assert [] == rows(database, "SELECT id FROM quarantine")


def test_other_bytes_under_a_known_uid_are_kept_aside(door: Door, database: Database, payload: PayloadStore) -> None:
    """Nothing is overwritten, nothing is lost, and the sender is warned."""
    first = film()
    second = film(SOPInstanceUID=first.SOPInstanceUID, StudyInstanceUID=first.StudyInstanceUID, PatientID="T-2")
    assert [SUCCESS, KEPT_ASIDE] == [door.store(first), door.store(second)]
    ((reason, sha),) = rows(database, "SELECT reason, sha256 FROM quarantine")
    assert Reason.UID_CONFLICT == reason
    assert b"T-2" in payload.get(str(sha))
    assert [(1,)] == rows(database, "SELECT rev FROM job")


def test_an_object_without_a_study_is_kept_aside_and_visible(door: Door, database: Database) -> None:
    """No result could be filed for it, but a person can find it."""
    assert KEPT_ASIDE == door.store(film(StudyInstanceUID=None))
    assert [("missing_uid",)] == rows(database, "SELECT reason FROM quarantine")
    with database.read() as connection:
        assert [(views.NO_STUDY, "quarantined")] == [(s.uid, s.state) for s in views.studies(connection, limit=5)]
        shown = views.study(connection, views.NO_STUDY)
    assert shown is not None
    assert ["missing_uid"] == [row["reason"] for row in shown.quarantined]


def test_a_conflict_makes_no_study(door: Door, database: Database) -> None:
    """Its SOP Instance UID is known from another study: a study without an image would look late for ever."""
    first = film()
    assert [SUCCESS, KEPT_ASIDE] == [door.store(first), door.store(film(SOPInstanceUID=first.SOPInstanceUID))]
    assert [(first.StudyInstanceUID,)] == rows(database, "SELECT uid FROM study")


def test_a_uid_that_is_none_is_kept_aside(door: Door, database: Database) -> None:
    """Longer than 64 characters, it has no place in a row; the object has."""
    data = encoded(film(StudyInstanceUID="1." + "2" * 70, SOPInstanceUID="1.2.3"))
    request = Request(SOURCES[0], "PACS", CR, "1.2.3", ExplicitVRLittleEndian, data)
    assert KEPT_ASIDE == door.listener.store(request)[1]
    ((reason, study),) = rows(database, "SELECT reason, study_uid FROM quarantine")
    assert ("missing_uid", 64) == (reason, len(str(study)))


def test_an_object_with_items_without_end_is_kept_aside(door: Door, database: Database) -> None:
    """It is named for what it is, and the process that every sender speaks to reads none of them."""
    data = bombs.ALL["a million items without a length"]()
    assert KEPT_ASIDE == door.listener.store(Request(SOURCES[0], "PACS", CR, "1.2.3", ExplicitVRLittleEndian, data))[1]
    assert [("too_large",)] == rows(database, "SELECT reason FROM quarantine")


def test_a_full_disk_leaves_the_object_with_its_sender(database: Database, payload: PayloadStore) -> None:
    """Below the watermark the answer is 0xA700 and no row exists."""
    full = Door(database, payload, min_free=2**62)
    try:
        assert OUT_OF_RESOURCES == full.store(film())
        assert [] == rows(database, "SELECT * FROM instance")
        assert [("pacs", "out_of_resources", 0)] == full.noted.instances
    finally:
        full.listener.stop()


def test_a_database_that_is_away_leaves_the_object_with_its_sender(payload: PayloadStore, tmp_path: Path) -> None:
    """Without a schema no row can be written, so the sender keeps the object."""
    broken = Door(Database(f"sqlite:///{tmp_path}/empty.db"), payload)
    try:
        assert OUT_OF_RESOURCES == broken.store(film())
    finally:
        broken.listener.stop()


@pytest.mark.parametrize(
    ("title", "called", "outcome"),
    [
        ("STRANGER", "CXRD", "rejected_calling_ae"),
        ("FAR", "CXRD", "rejected_calling_ae"),
        ("PACS", "OTHER", "rejected_called_ae"),
    ],
)
def test_strangers_are_rejected(door: Door, title: str, called: str, outcome: str) -> None:
    """An unknown AE title, a known one from the wrong address, and a call for somebody else."""
    assert door.associate(title, called).is_rejected
    assert [outcome] == [o for _, o in door.noted.associations]


def test_a_caller_that_was_let_in_is_asked_for_by_name_no_more(
    database: Database, payload: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that goes away leaves its films alone; a source that is taken out of the configuration does not."""
    known = Source(name="pacs", ae_title="PACS", hosts=("pacs.hospital",), quiet_period_s=0)
    asked: list[Any] = []
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        if host != "pacs.hospital":
            return real(host, *more, **named)
        asked.append(host)
        if len(asked) > 1:
            raise OSError("no resolver")
        return [(None, None, None, "", ("127.0.0.1", 0))]

    door = Door(database, payload, sources=(known,))
    monkeypatch.setattr("socket.getaddrinfo", resolve)
    try:
        association = door.associate()
        assert [SUCCESS] * 2 == [association.send_c_store(film()).Status for _ in range(2)]
        assert ["pacs.hospital"] == asked
        door.listener.follow(door.settings.model_copy(update={"sources": (SOURCES[1],)}))
        assert OUT_OF_RESOURCES == association.send_c_store(film()).Status
        association.release()
    finally:
        door.listener.stop()


@pytest.mark.parametrize("sop_class", [CR, DX])
def test_every_encoding_of_a_film_is_accepted(door: Door, sop_class: str) -> None:
    """A context for each transfer syntax: nothing that CR and DX come in is turned away."""
    entity = AE("PACS")
    for syntax in TRANSFER_SYNTAXES:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", door.port, ae_title="CXRD")
    assert list(TRANSFER_SYNTAXES) == [c.transfer_syntax[0] for c in association.accepted_contexts]
    association.release()


def test_bytes_are_kept_as_they_came(door: Door, database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """The data set on disk is the data set that was sent, private and odd elements included."""
    dataset = film()
    dataset.add_new(0x00091001, "LO", "private")
    path = tmp_path / "film.dcm"
    path.write_bytes(encoded(dataset))
    target = Destination(name="x", ae_title="CXRD", host="127.0.0.1", port=door.port)
    assert [SUCCESS] == [r.status for r in send(target, "PACS", [Outgoing.of(path)])]
    ((sha,),) = rows(database, "SELECT sha256 FROM instance")
    body = path.read_bytes().split(b"\x08\x00\x05\x00", 1)[1]
    assert payload.get(str(sha)).endswith(body)


def test_an_association_that_ends_without_a_word_is_not_remembered(door: Door) -> None:
    """A fault in pynetdicom's own thread tells nobody that the connection is closed."""
    silent = Association(AE(), "acceptor")
    door.listener._names[silent] = "its name"
    door.listener._reception._names[silent] = "pacs"
    del silent
    gc.collect()
    assert [0, 0] == [len(door.listener._names), len(door.listener._reception._names)]


def test_an_object_on_its_way_is_answered_before_a_listener_leaves(door: Door, database: Database) -> None:
    """Nobody new is let in meanwhile."""
    stopping: list[Future[None]] = []
    with ThreadPoolExecutor() as other:

        def stop() -> None:
            stopping.append(other.submit(door.listener.stop, drain_s=60.0))
            wait(stopping, 1.0)

        sending, idle = door.associate(), door.associate()
        door.before_answer(stop)
        assert SUCCESS == sending.send_c_store(film()).Status
        assert not door.associate().is_established
        sending.release()
        assert idle.is_established
        idle.release()
        stopping[0].result(60)
    assert 1 == len(rows(database, "SELECT * FROM instance"))


def test_an_association_that_stays_open_is_cut_when_a_listener_leaves(door: Door) -> None:
    """Some peers keep one all day."""
    idle = door.associate()
    door.listener.stop(drain_s=0.1)
    until(lambda: not idle.is_established, seconds=30, what="it is cut")


def test_many_senders_at_once(database: Database, payload: PayloadStore) -> None:
    """Associations up to the limit are served side by side; the next is told to come back."""
    door = Door(database, payload, max_associations=3)
    try:
        held = [door.associate() for _ in range(3)]
        assert [True] * 3 == [a.is_established for a in held]
        assert door.associate().is_rejected
        for association in held:
            association.release()
    finally:
        door.listener.stop()


def test_urgent_studies_go_first(door: Door, database: Database) -> None:
    """A STAT order is claimed before everything else."""
    door.store(film())
    door.store(film(RequestedProcedurePriority="STAT"))
    assert [(50,), (0,)] == rows(database, "SELECT priority FROM job ORDER BY id")


def test_dcmtk_is_understood(door: Door, tmp_path: Path) -> None:
    """Echoscu and storescu of dcmtk speak with us."""
    if shutil.which("storescu") is None:
        pytest.skip("needs dcmtk: apt-get install dcmtk")
    path = tmp_path / "film.dcm"
    path.write_bytes(encoded(film(SOPInstanceUID=generate_uid())))
    peer = ["-aet", "PACS", "-aec", "CXRD", "127.0.0.1", str(door.port)]
    subprocess.run(["echoscu", *peer], check=True)
    subprocess.run(["storescu", *peer, str(path)], check=True)
    assert ["stored"] == [outcome for _, outcome, _ in door.noted.instances]
