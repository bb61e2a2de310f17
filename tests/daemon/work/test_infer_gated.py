"""How often an ensemble needs its second graph can be read off a scrape."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from cxrd.inference.engine import load
from cxrd.settings import Settings, Work
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.watch.metrics import Metrics
from cxrd.work.decoding import Decoders
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop
from support.datasets import encoded, film
from support.packages import GATE, make_package
from support.rows import arrive


@pytest.mark.parametrize(("threshold", "asked"), [(0, 0), (1, 2)])
def test_films_and_second_opinions_are_counted(
    database: Database, payload: PayloadStore, tmp_path: Path, threshold: float, asked: int
) -> None:
    """Of each ensemble; a model of one graph has no such line."""
    packages = tmp_path / "models"
    models = [
        load(make_package(packages, id="both", task="multiclass", gate=GATE | {"threshold": threshold}), "cpu"),
        load(make_package(packages, id="plain"), "cpu"),
    ]
    metrics = Metrics()
    handler = InferHandler(database, payload, models, Decoders(0, 10), Settings(), metrics)
    for number in (1, 2):
        arrive(database, number, study_uid=f"1.2.{number}", sha256=payload.put(encoded(film())))
    loop = Loop(database, handler, "w1", Work(), Event())
    while not loop.once():
        pass
    value = metrics.registry.get_sample_value
    assert (2, asked) == (
        value("cxrd_gate_films_total", {"model": "both"}),
        value("cxrd_gate_second_total", {"model": "both"}),
    )
    assert value("cxrd_gate_films_total", {"model": "plain"}) is None
    assert value("cxrd_model_duration_seconds_count", {"model": "plain"}) == value(
        "cxrd_model_duration_seconds_count", {"model": "both"}
    )
