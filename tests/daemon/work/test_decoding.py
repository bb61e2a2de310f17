"""A broken film may kill a decode process; nothing else."""

from __future__ import annotations

import errno
import multiprocessing.synchronize
from pathlib import Path

import pytest

from cxrd.errors import PayloadLost, Reason, Refused, StoreError
from cxrd.imaging.preprocess import Preprocess
from cxrd.pipeline import Plan, Prepared
from cxrd.store.payload import PayloadStore
from cxrd.work.decoding import Decoders, Outcome
from support.datasets import encoded, film
from support.dying import deadly

PLAN = Plan((Preprocess(id="plain", height=32, width=32),), (), 256)


def film_in(store: PayloadStore) -> Path:
    """A good film, where the store keeps it."""
    return store.path(store.put(encoded(film())))


def reason(outcome: Outcome) -> Reason:
    """Why a film was refused."""
    assert isinstance(outcome, Refused)
    return outcome.reason


def test_in_the_same_process_errors_are_values(payload: PayloadStore) -> None:
    """Garbage is refused; a missing or an altered payload is lost, and never judged."""
    garbage, missing, altered = payload.path(payload.put(b"garbage" * 100)), payload.path("0" * 64), film_in(payload)
    altered.write_bytes(encoded(film()))
    with Decoders(0, 10) as decoders:
        found = decoders.prepare([garbage, missing, altered], PLAN)
    assert Reason.UNREADABLE == reason(found[garbage])
    assert isinstance(found[missing], PayloadLost)
    assert "altered" in str(found[altered])


def test_errors_come_back_from_another_process_as_they_are(payload: PayloadStore) -> None:
    """With their reason, their hint, and whose the image is."""
    garbage, missing, good = payload.path(payload.put(b"garbage" * 100)), payload.path("0" * 64), film_in(payload)
    lateral = payload.path(payload.put(encoded(film(ViewPosition="LL", PatientID="B", IssuerOfPatientID="X"))))
    with Decoders(1, 60) as decoders:
        found = decoders.prepare([garbage, missing, good, lateral], PLAN)
    refused = found[lateral]
    assert isinstance(refused, Refused)
    assert (Reason.LATERAL, ("B", "X")) == (refused.reason, refused.patient)
    assert Reason.UNREADABLE == reason(found[garbage])
    lost = found[missing]
    assert isinstance(lost, PayloadLost)
    assert "restore it" in lost.hint
    assert isinstance(found[good], Prepared)


def test_the_film_that_kills_is_refused_and_the_others_are_read(payload: PayloadStore) -> None:
    """One of four aborts its process: tried alone, it dies again and is named."""
    good, deadly_one = [film_in(payload) for _ in range(3)], payload.root / "segfault"
    with Decoders(2, 60, work=deadly) as decoders:
        found = decoders.prepare([*good[:2], deadly_one, good[2]], PLAN)
        assert Reason.DECODER_DIED == reason(found[deadly_one])
        assert [True] * 3 == [isinstance(found[path], Prepared) for path in good]
        again = decoders.prepare(good[:1], PLAN)
    assert isinstance(again[good[0]], Prepared)


def test_a_film_that_never_ends_is_given_up(payload: PayloadStore) -> None:
    """Its process is killed; the next film finds a new one."""
    good, endless = film_in(payload), payload.root / "endless"
    with Decoders(1, 8, work=deadly) as decoders:
        assert Reason.DECODER_DIED == reason(decoders.prepare([endless], PLAN)[endless])
        assert isinstance(decoders.prepare([good], PLAN)[good], Prepared)


def test_a_machine_that_starts_no_process_is_to_blame_and_not_the_film(
    payload: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a writable /dev/shm, say: an error of the machine, after which the same film is read."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = film_in(payload)
    with Decoders(1, 60) as decoders:
        with monkeypatch.context() as patched:
            patched.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
            with pytest.raises(StoreError, match=r"no decode process .* Permission denied .*/dev/shm"):
                decoders.prepare([path], PLAN)
        assert isinstance(decoders.prepare([path], PLAN)[path], Prepared)
