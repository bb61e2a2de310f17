"""What a destination says it holds: of ours, and nothing that is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from cxrd.delivery.finder import Finder
from cxrd.delivery.sender import Outcome, Outgoing, send
from cxrd.demo.pacs import StandInPacs
from cxrd.errors import DeliveryError
from cxrd.peers import Destination
from cxrd.report.uids import series_of
from support.datasets import encoded, film
from support.node import free_port
from support.orthanc import orthanc

STUDY, ANOTHER = generate_uid(), generate_uid()


def target(port: int) -> Destination:
    """A destination on loopback."""
    return Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, timeout_s=5)


@contextmanager
def stand_in(folder: Path) -> Iterator[int]:
    """The stand-in PACS's port."""
    folder.mkdir()
    peer = StandInPacs(folder, "PACS")
    peer.start()
    yield peer.port
    peer.stop()


@contextmanager
def real(folder: Path) -> Iterator[int]:
    """A real PACS's port."""
    with orthanc(folder) as running:
        yield running.port


@pytest.mark.parametrize("start", [stand_in, real], ids=["stand-in", "orthanc"])
def test_our_results_are_found_and_nothing_else(start: Callable[[Path], Iterator[int]], tmp_path: Path) -> None:
    """By the series that our results of a study lie in; films and other studies' results are not counted."""
    ours, other = (film(StudyInstanceUID=study, SeriesInstanceUID=series_of(study, "sr")) for study in (STUDY, ANOTHER))
    plain = film(StudyInstanceUID=STUDY)
    paths = [tmp_path / f"{n}.dcm" for n in range(3)]
    for path, dataset in zip(paths, (ours, other, plain), strict=True):
        path.write_bytes(encoded(dataset))
    with start(tmp_path / "pacs") as port:  # type: ignore[attr-defined]
        results = send(target(port), "CXRD", [Outgoing.of(path) for path in paths])
        assert [Outcome.STORED] * 3 == [result.outcome for result in results]
        with Finder.on(target(port), "CXRD") as finder:
            assert {str(ours.SOPInstanceUID)} == finder.results(STUDY, ("sr", "sc"))
            assert set() == finder.results(STUDY, ("sc",))
            assert {STUDY, ANOTHER} == finder.studies("20260102")
            assert {STUDY, ANOTHER} == finder.studies("")
            assert set() == finder.studies("20260103")


def test_a_peer_that_is_not_there_is_named() -> None:
    """With what to look at."""
    with (
        pytest.raises(DeliveryError, match="cannot be reached") as caught,
        Finder.on(target(free_port()), "CXRD"),
    ):
        pass
    assert "AE title" in caught.value.hint


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    """An object that was not told of is not an object that is not there."""

    def find(_event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        found = Dataset()
        found.StudyInstanceUID = STUDY
        yield 0xFF00, found
        yield 0xA700, None

    entity = AE("PACS")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    try:
        assert server is not None
        port = int(server.server_address[1])
        with Finder.on(target(port), "CXRD") as finder, pytest.raises(DeliveryError, match="0xA700") as caught:
            finder.studies("")
        assert "--since" in caught.value.hint
    finally:
        entity.shutdown()
