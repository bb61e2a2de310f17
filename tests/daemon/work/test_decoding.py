"""A broken film may kill a decode process; nothing else."""

from __future__ import annotations

from pathlib import Path

from cxrd.errors import Reason, Refused, StoreError
from cxrd.imaging.preprocess import Preprocess
from cxrd.pipeline import Plan, Prepared
from cxrd.work.decoding import Decoders, Outcome
from support.datasets import encoded, film
from support.dying import deadly

PLAN = Plan((Preprocess(id="plain", height=32, width=32),), 256)


def films(folder: Path, *names: str) -> list[Path]:
    """Good films under these names."""
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(encoded(film()))
    return paths


def reason(outcome: Outcome) -> Reason:
    """Why a film was refused."""
    assert isinstance(outcome, Refused)
    return outcome.reason


def test_in_the_same_process_errors_are_values(tmp_path: Path) -> None:
    """Garbage is refused, a missing payload is the store's fault."""
    garbage, missing = tmp_path / "garbage", tmp_path / "missing"
    garbage.write_bytes(b"garbage" * 100)
    with Decoders(0, 10) as decoders:
        found = decoders.prepare([garbage, missing], PLAN)
    assert Reason.UNREADABLE == reason(found[garbage])
    assert isinstance(found[missing], StoreError)


def test_the_film_that_kills_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    """One of four aborts its process: tried alone, it dies again and is named."""
    paths = films(tmp_path, "a", "b", "segfault", "c")
    with Decoders(2, 60, work=deadly) as decoders:
        found = decoders.prepare(paths, PLAN)
        assert Reason.DECODER_DIED == reason(found[tmp_path / "segfault"])
        assert 3 == sum(isinstance(outcome, Prepared) for outcome in found.values())
        again = decoders.prepare(paths[:1], PLAN)
    assert isinstance(again[paths[0]], Prepared)


def test_a_film_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """Its process is killed; the next film finds a new one."""
    (endless, good) = films(tmp_path, "endless", "good")
    with Decoders(1, 8, work=deadly) as decoders:
        assert Reason.DECODER_DIED == reason(decoders.prepare([endless], PLAN)[endless])
        assert isinstance(decoders.prepare([good], PLAN)[good], Prepared)
