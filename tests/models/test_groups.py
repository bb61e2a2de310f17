"""Curves against scikit-learn, groups of people by hand, and which films are worth a look."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cxrd_models.evaluate import words
from cxrd_models.evaluate.curves import precision_recall, reliability, roc, wilson
from cxrd_models.evaluate.examples import examples
from cxrd_models.evaluate.figures import Estimate, Scored
from cxrd_models.evaluate.people import age_band, size_band
from cxrd_models.evaluate.subgroups import subgroups

RANDOM = np.random.default_rng(3)
TARGET = (RANDOM.random(400) < 0.3).astype(np.float32)
SCORE = np.round(1 / (1 + np.exp(-TARGET - RANDOM.normal(0, 1, 400))), 2)  # rounded: many ties


def scored(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> Scored:
    classes = tuple(f"c{k}" for k in range(target.shape[1]))
    names = np.array([f"p{i}" for i in range(len(target))])
    return Scored(classes, target, probability, None, names, names, (threshold,) * len(classes))


def test_curves_agree_with_scikit_learn() -> None:
    """The same points, ties called together, and the areas under them."""
    away, there, _ = metrics.roc_curve(TARGET, SCORE, drop_intermediate=False)
    curve = roc(TARGET, SCORE)
    np.testing.assert_allclose(curve.x, away)
    np.testing.assert_allclose(curve.y, there)
    precision, recall, _ = metrics.precision_recall_curve(TARGET, SCORE)
    found = precision_recall(TARGET, SCORE)
    np.testing.assert_allclose(found.x[::-1], recall[:-1])
    np.testing.assert_allclose(found.y[::-1], precision[:-1])


def test_reliability_is_near_the_diagonal_for_an_honest_probability() -> None:
    """Films drawn with the stated probability: the bins' intervals hold it."""
    p = RANDOM.random(4000)
    bins = reliability((RANDOM.random(4000) < p).astype(np.float64), p)
    assert len(bins.said) == 10
    assert ((bins.low < bins.said) & (bins.said < bins.high)).sum() >= 8
    low, high = wilson(np.array([0.0]), np.array([10.0]))
    assert low[0] == pytest.approx(0, abs=1e-9)
    assert high[0] == pytest.approx(0.2775, abs=1e-3)  # Wilson 1927: z^2 / (n + z^2)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("71", "60-79"),
        ("61.0", "60-79"),
        ("058Y", "40-59"),
        ("pediatric(1-5y)", "0-17"),
        ("009M", "0-17"),
        ("17", "0-17"),
        ("18", "18-39"),
        ("101", "80+"),
        ("", "unknown"),
        ("old", "unknown"),
    ],
)
def test_ages_fall_into_bands(text: str, band: str) -> None:
    """Years, months and the words of the data folders."""
    assert age_band(text) == band


def test_sizes_fall_into_bands() -> None:
    """The shorter side counts."""
    assert [size_band("64", "64"), size_band("512", "224"), size_band("512", "415"), size_band("", "")] == [
        "0-64 px",
        "65-256 px",
        "257+ px",
        "unknown",
    ]


def test_a_group_that_is_missed_more_often_is_found() -> None:
    """Of group "a" 8 of 10 positives are missed, of "b" 2 of 10: a gap of 0.6 either way."""
    target = np.tile([1.0] * 10 + [0.0] * 50, 2)[:, None].astype(np.float32)
    p = np.r_[[0.4] * 8, [0.9] * 2, [0.1] * 50, [0.4] * 2, [0.9] * 8, [0.1] * 50][:, None]
    groups = {"sex": np.array(["a"] * 60 + ["b"] * 60)}
    first, second = subgroups(scored(target, p), groups, ("c0",), seed=1)
    assert (first.films, first.positives, first.missed.value) == (60, 10, 0.8)
    assert first.auroc.value == 1.0
    assert first.gap.value == pytest.approx(0.6)
    assert second.gap.value == pytest.approx(-0.6)
    assert first.gap.low is not None
    assert 0 < first.gap.low < 0.6
    few = subgroups(scored(target[:60], p[:60]), {"sex": np.array(["a"] * 50 + ["b"] * 10)}, ("c0",), seed=1)
    assert [g.note for g in few] == ["", "too few films (10 < 50)"]


def test_the_surest_calls_of_every_kind_come_first() -> None:
    """A film rightly called free is no example; a kind that is rarer is not crowded out."""
    target = np.array([[1], [1], [0], [0], [1], [0]], np.float32)
    p = np.array([[0.99], [0.6], [0.95], [0.7], [0.01], [0.02]])
    found = examples(scored(target, p), ("c0",), 2, exclusive=False)
    assert [(e.film, e.verdict) for e in found] == [(0, "hit"), (1, "hit"), (4, "missed"), (2, "false alarm")]
    one = examples(scored(np.eye(3, dtype=np.float32), np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])),
                   (), 3, exclusive=True)  # fmt: skip
    assert [(e.film, e.k, e.verdict, e.true) for e in one if e.verdict != "hit"] == [(1, 0, "mixed up", 1)]
    assert (
        words.example_caption(one[-1], ("a", "b", "c"), 0.7) == "Mixed up: a, probability 0.70; the film's label is b."
    )


def test_figures_are_said_as_people_say_them() -> None:
    """Of a hundred, with the interval; a dash where nothing is known."""
    known, unknown = Estimate(value=0.844, low=0.7, high=0.912), Estimate(value=None, low=None, high=None)
    assert words.of_hundred(known) == "84 (70 to 91)"
    assert words.figure(known) == "0.84 (0.70 to 0.91)"
    assert words.figure(unknown) == words.of_hundred(unknown) == "-"
    assert words.name("Pleural_Thickening") == "pleural thickening"
