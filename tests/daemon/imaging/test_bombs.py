"""A few bytes that ask for gigabytes, or for minutes: refused by name in a decode process, harmless to the listener."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import Dataset

from cxrd.errors import Reason, Refused
from cxrd.imaging.header import read_elements
from cxrd.imaging.preprocess import Preprocess
from cxrd.pipeline import Plan
from cxrd.store.payload import PayloadStore
from cxrd.work.decoding import Decoders
from support import bombs

PLAN = Plan((Preprocess(id="plain", height=32, width=32),), (), 256)
MOST = 1536 * 1024
"""KiB that any of them may make a decode process hold: the inflated size that is allowed, twice, and the libraries."""

AT_THE_DOOR = 64 * 1024
"""KiB more that any of them may make the listener hold beside the object's own bytes."""

NAMED = {Reason.TOO_LARGE, Reason.DECODE_FAILED, Reason.NO_PIXELS, Reason.UNREADABLE, Reason.MULTIFRAME}


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """One decode process, limited as in production, for all of them: what one left behind the next would hit."""
    with Decoders(1, 60, work=bombs.weighed) as made:
        yield made


@pytest.mark.parametrize("name", bombs.ALL)
def test_a_decode_process_refuses_it_within_its_memory(payload: PayloadStore, decoders: Decoders, name: str) -> None:
    """Its process lives on, and never held much more than a film takes."""
    path = payload.path(payload.put(bombs.ALL[name]()))
    found = decoders.prepare([path], PLAN)[path]
    assert isinstance(found, Refused), found
    assert found.reason in NAMED, found
    assert int(path.with_suffix(".peak").read_text()) < MOST


def resident() -> int:
    """Highest resident memory of this process since it was last reset, in KiB."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.mark.parametrize("name", bombs.ALL)
def test_the_listener_looks_at_its_header_in_little_memory(name: str) -> None:
    """It parses in the process that every sender speaks to: a few elements or a refusal, in little more than came."""
    data = bombs.ALL[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel counts the peak from here (proc(5))
    before = resident()
    with suppress(Refused):
        header: Dataset = read_elements(data, ["SOPInstanceUID", "StudyInstanceUID"])
        assert set(header.dir()) <= {"SOPInstanceUID", "StudyInstanceUID", "SpecificCharacterSet"}
    assert resident() - before < AT_THE_DOOR
