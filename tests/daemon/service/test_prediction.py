"""Uploads are judged in a process of their own, which may die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from cxrd.demo import phantom
from cxrd.demo.samples import samples
from cxrd.errors import PackageError
from cxrd.service.offline import analyse_files
from cxrd.service.prediction import Busy, Predictor
from cxrd.serving import Predict
from cxrd.settings import Database as DatabaseSection
from cxrd.settings import Models, Settings
from cxrd.store.database import Database
from cxrd.telling import verdict
from support.node import until
from support.packages import make_package

FILMS = samples("upload", rows=256)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A node with one tiny model."""
    folder = tmp_path_factory.mktemp("uploads")
    make_package(folder / "models")
    url = f"sqlite:///{folder}/cxrd.db"
    Database(url).upgrade()
    return Settings(
        models=Models(dir=folder / "models"),
        database=DatabaseSection(url=url),
        predict=Predict(timeout_s=100, idle_s=3600),
    )


@pytest.fixture(scope="module")
def predictor(settings: Settings) -> Iterator[Predictor]:
    """One process for this file, unless a test ends it."""
    made = Predictor(settings)
    yield made
    made.close()


def named(**films: bytes) -> list[tuple[str, BinaryIO]]:
    """Films as the web asks for them to be judged."""
    return [(name, BytesIO(data)) for name, data in films.items()]


def picture(kind: str) -> bytes:
    """A phantom as a PNG or JPEG."""
    buffer = BytesIO()
    pixels = phantom.film(phantom.Anatomy(), rows=512, columns=448, seed=1)
    Image.fromarray((pixels // 16).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def test_an_upload_is_answered_as_by_cxrd_analyse(predictor: Predictor, settings: Settings, tmp_path: Path) -> None:
    """Film by film; one that no model may judge says why, and holds up no other."""
    verdicts, _, _ = predictor(named(**FILMS))
    told = [verdict(one) for one in verdicts]
    for name, data in FILMS.items():
        (tmp_path / name).write_bytes(data)
    lines = {
        Path(line.pop("file")).name: line
        for line in analyse_files([tmp_path / name for name in FILMS], settings, tmp_path / "out")
    }
    for one in told:
        expected = lines[one.pop("file")]
        expected.pop("outputs", None)
        assert expected == one
    assert ("lateral", False) == (told[-1]["reason"], told[-1]["admitted"])


def test_pictures_are_films_too(predictor: Predictor) -> None:
    """PNG and JPEG; the same one twice in one request."""
    found, _, _ = predictor(named(a=picture("PNG"), b=picture("JPEG"), c=picture("PNG")))
    assert all(one.analysis for one in found)
    assert verdict(found[0])["models"] == verdict(found[2])["models"]
    assert {b""} == {one.preview for one in found}


def test_a_film_is_shown_where_somebody_wants_to_see_it(predictor: Predictor) -> None:
    """As a viewer shows it, with the heat of what is present."""
    ((found,), _, _) = predictor(named(x=FILMS["opacity"]), pictures=True)
    assert found.analysis is not None
    shown = Image.open(BytesIO(found.preview))
    assert (found.analysis.film.columns, found.analysis.film.rows) == shown.size
    assert np.ptp(np.asarray(shown)) > 100
    assert any(finding.heat for answer in found.analysis.answers for finding in answer.findings)


def test_a_film_that_came_before_is_remembered(predictor: Predictor) -> None:
    """By its pixels: the answer is the same, and no model was asked."""
    data = samples("remembered", rows=300)
    first, hits, misses = predictor(named(x=data["normal"]))
    assert (0, 1) == (hits, misses)
    again, hits, misses = predictor(named(x=samples("another hospital", rows=300)["normal"]))
    assert (1, 0) == (hits, misses)
    assert verdict(first[0]) == verdict(again[0])


@pytest.mark.parametrize("data", [b"", b"no film", b"\x89PNG\r\n\x1a\n broken", FILMS["normal"][:3000]])
def test_what_cannot_be_read_says_so(predictor: Predictor, data: bytes) -> None:
    """By a code."""
    ((one,), _, _) = predictor(named(x=data))
    assert one.analysis is None
    assert one.reason in {"unreadable", "decode_failed", "missing_uid", "no_pixels"}


def test_a_process_that_dies_costs_one_answer(predictor: Predictor) -> None:
    """The next request has a new one."""
    predictor(named(x=FILMS["normal"]))
    assert predictor._pool is not None
    (victim,) = predictor._pool._processes
    os.kill(victim, signal.SIGSTOP)
    failed: list[Exception] = []

    def ask() -> None:
        try:
            predictor(named(x=FILMS["normal"]))
        except Busy as error:
            failed.append(error)

    asking = Thread(target=ask)
    asking.start()
    until(lambda: predictor._working == 1, seconds=20, what="the request is under way")
    os.kill(victim, signal.SIGKILL)
    asking.join(timeout=60)
    assert "ended" in str(failed[0])
    assert predictor(named(x=FILMS["normal"]))[0][0].analysis


def test_the_process_outlives_the_thread_that_asked_first(predictor: Predictor) -> None:
    """A web server ends threads that idle, and Linux ends a child with the thread that started it."""
    predictor.close()
    asking = Thread(target=predictor, args=(named(x=FILMS["normal"]),))
    asking.start()
    task = Path(f"/proc/self/task/{asking.native_id}")
    asking.join()
    until(lambda: not task.exists(), seconds=5, what="Linux has ended it too")
    assert predictor(named(x=FILMS["normal"]))[0][0].analysis


def test_without_models_nothing_is_judged_and_the_reason_is_told(settings: Settings, tmp_path: Path) -> None:
    """As every other command tells it."""
    empty = Predictor(settings.model_copy(update={"models": Models(dir=tmp_path)}))
    try:
        with pytest.raises(PackageError, match="no model package"):
            empty(named(x=FILMS["normal"]))
    finally:
        empty.close()


def test_memory_is_free_when_nobody_asks(settings: Settings) -> None:
    """The process leaves by itself, and other settings begin with a new one."""
    short = settings.model_copy(update={"predict": Predict(idle_s=0.2)})
    predictor = Predictor(short)
    predictor(named(x=FILMS["normal"]))
    until(lambda: predictor._pool is None, seconds=20, what="the process is gone")
    predictor.follow(settings)
    assert predictor(named(x=FILMS["normal"]))[0][0].analysis
    predictor.close()
