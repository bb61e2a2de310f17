"""A remembered answer is the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from cxrd.findings import ModelRef
from cxrd.imaging.preprocess import Preprocess
from cxrd.inference.engine import load
from cxrd.inference.remembering import Said, name_of, pack, unpack
from cxrd.pipeline import Plan, analyse, prepare
from support.datasets import encoded, film
from support.packages import make_package

MODEL = ModelRef(id="tiny", version="1.0.0", digest="ab" * 32)
PLAIN = Preprocess(id="plain", height=8, width=8)
IMAGE = np.full((1, 8, 8), 0.5, np.float32)


class Dictionary:
    """A memory that never forgets."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that are there."""
        return {name: self.kept[name] for name in names if name in self.kept}

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep them."""
        self.kept.update(entries)


def test_a_name_covers_everything_that_decides_the_answer() -> None:
    """Package, preprocessing, every pixel, every lung."""
    brighter = IMAGE.copy()
    brighter[0, 3, 3] += 1e-6
    names = {
        name_of(MODEL, PLAIN, IMAGE, None),
        name_of(MODEL.model_copy(update={"digest": "cd" * 32}), PLAIN, IMAGE, None),
        name_of(MODEL, Preprocess(id="dicom_clahe", height=8, width=8), IMAGE, None),
        name_of(MODEL, PLAIN, brighter, None),
        name_of(MODEL, PLAIN, IMAGE, IMAGE),
    }
    assert 5 == len(names)
    assert name_of(MODEL, PLAIN, IMAGE, None) == name_of(MODEL, PLAIN, IMAGE.copy(order="F"), None)


@pytest.mark.parametrize("heat", [None, np.random.default_rng(1).random((4, 3, 5)).astype(np.float32)])
def test_bytes_come_back_as_they_were(heat: np.ndarray | None) -> None:
    """Bit by bit."""
    said = unpack(pack(Said(np.array([0.1, 0.7], np.float32), heat)))
    assert [np.float32(0.1), np.float32(0.7)] == list(said.probs)
    assert (heat is None) == (said.heat is None)
    assert heat is None or (heat == said.heat).all()


def test_a_film_is_judged_once_and_answered_alike(tmp_path: Path) -> None:
    """Beside films that are new; a model is asked only about those."""
    classifier = load(make_package(tmp_path / "models"), "cpu")
    plan = Plan.of([classifier], 256)
    films = [prepare(data, sha256(data).hexdigest(), plan) for data in (encoded(film()), encoded(film(rows=200)))]
    memory, asked = Dictionary(), list[int]()

    def note(_model: ModelRef, number: int, _seconds: float, _second: int | None) -> None:
        asked.append(number)

    first = analyse([classifier], films[:1], note, memory)
    both = analyse([classifier], films, note, memory)
    again = analyse([classifier], films[::-1], note, memory)
    assert [1, 1] == asked
    assert first[0] == both[0]
    assert both == again[::-1]
    assert both[0] == analyse([classifier], films[:1])[0]
