"""Do the films still look like those a package was tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest

from cxrd.inference.packages import read_package
from cxrd.inference.reference import Reference
from cxrd.settings import Drift, Models, Settings
from cxrd.store import observations
from cxrd.store.database import Database
from cxrd.store.observations import Observation, Seen
from cxrd.watch.metrics import Metrics
from cxrd.work.drift import Drifting
from support.packages import make_package
from support.rows import STUDY, arrive, record

RANDOM = np.random.default_rng(4)
REFERENCE = Reference({"Effusion": np.linspace(0, 1, 300)}, {"brightness": RANDOM.normal(0.5, 0.1, 300)})


def films(source: str, count: int, *, score: float = 0.0, brightness: float = 0.0) -> list[Observation]:
    """Films of the reference's population, moved by so much."""
    return [
        Observation(
            source,
            (
                Seen(
                    "tiny",
                    "1.0.0",
                    {"brightness": RANDOM.normal(0.5 + brightness, 0.1)},
                    {"Effusion": min(1.0, RANDOM.uniform(0, 1) + score)},
                ),
            ),
        )
        for _ in range(count)
    ]


@pytest.fixture
def told(tmp_path: Path) -> tuple[Drifting, Metrics]:
    """One model that was tested on three hundred films."""
    metrics = Metrics()
    manifest, _ = read_package(make_package(tmp_path))
    settings = Settings(drift=Drift(min_films=100), models=Models(thresholds={"tiny": {"Effusion": 0.75}}))
    return Drifting(lambda: [(manifest, REFERENCE)], settings, metrics), metrics


def value(metrics: Metrics, series: str) -> float:
    """One sample of a scrape, NaN where there is none."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " ")), float("nan"))


def test_a_source_that_sends_other_films_stands_out(told: tuple[Drifting, Metrics]) -> None:
    """The new scanner is seen, its neighbour is not accused."""
    drifting, metrics = told
    drifting.look([*films("old", 300), *films("new", 300, score=0.4, brightness=0.2)])
    assert value(metrics, 'cxrd_source_drift_psi{model="tiny",source="old"}') < 0.1
    assert value(metrics, 'cxrd_source_drift_psi{model="tiny",source="new"}') > 0.25
    assert value(metrics, 'cxrd_input_drift_psi{model="tiny",source="old",statistic="brightness"}') < 0.1
    assert value(metrics, 'cxrd_input_drift_psi{model="tiny",source="new",statistic="brightness"}') > 0.25
    assert 300 == value(metrics, 'cxrd_drift_films{model="tiny",source="new"}')


def test_few_films_tell_nothing(told: tuple[Drifting, Metrics]) -> None:
    """How many there are is shown; a figure that chance alone would make is not."""
    drifting, metrics = told
    drifting.look(films("new", 99, score=0.4))
    assert 99 == value(metrics, 'cxrd_drift_films{model="tiny",source="new"}')
    assert np.isnan(value(metrics, 'cxrd_drift_psi{finding="Effusion",model="tiny"}'))


def test_a_figure_that_cannot_be_told_any_more_is_taken_back(told: tuple[Drifting, Metrics]) -> None:
    """A source that fell silent is not in drift for ever."""
    drifting, metrics = told
    drifting.look(films("new", 300, score=0.4))
    assert value(metrics, 'cxrd_drift_psi{finding="Effusion",model="tiny"}') > 0.25
    drifting.look([])
    assert np.isnan(value(metrics, 'cxrd_drift_psi{finding="Effusion",model="tiny"}'))


def test_the_expected_positive_rate_is_that_of_the_threshold_in_force(told: tuple[Drifting, Metrics]) -> None:
    """A quarter of a uniform score lies above 0.75."""
    drifting, metrics = told
    drifting.look([])
    found = value(metrics, 'cxrd_reference_positive_ratio{finding="Effusion",model="tiny"}')
    assert 0.25 == pytest.approx(found, abs=0.01)


def test_observations_are_kept_with_their_source(database: Database) -> None:
    """The newest first, and no more than asked for."""
    arrive(database, source="xray-2")
    seen = {str(n): [Seen("tiny", "1.0.0", {"brightness": n / 10}, {"Effusion": 0.5})] for n in range(3)}
    with database.write() as connection:
        made = record(connection, database.now(connection))
        observations.record(connection, database.now(connection), made, STUDY, seen)
    with database.read() as connection:
        newest = observations.newest(connection, 2)
    assert [("xray-2", 0.2), ("xray-2", 0.1)] == [(o.source, o.seen[0].inputs["brightness"]) for o in newest]
