"""Figures against scikit-learn, calibration that keeps the order, thresholds that do not overreach."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxrd_models.evaluate.calibration import calibrate, operating_points
from cxrd_models.evaluate.curves import reliability
from cxrd_models.evaluate.figures import Scored, figures
from cxrd_models.evaluate.operating import operating
from cxrd_models.evaluate.scores import (
    auroc,
    auroc_within,
    average_precision,
    calibration_error,
    filled_bins,
    resamples,
)

RANDOM = np.random.default_rng(4)
TARGET = (RANDOM.random(200) < 0.3).astype(np.float64)
SCORE = np.round(TARGET + RANDOM.normal(0, 1, 200), 1)  # rounded: many ties


def filled_error(target: np.ndarray, probability: np.ndarray) -> float:
    return float(calibration_error(target, probability, filled_bins(probability, 10))[0])


def test_areas_agree_with_scikit_learn() -> None:
    """AUROC and average precision, with ties."""
    assert pytest.approx(roc_auc_score(TARGET, SCORE)) == float(auroc(TARGET, SCORE)[0])
    assert pytest.approx(average_precision_score(TARGET, SCORE)) == float(average_precision(TARGET, SCORE)[0])


def test_a_weighted_area_is_the_area_of_repeated_films() -> None:
    """Multiplicities count as copies, which is what a bootstrap needs."""
    weight = RANDOM.integers(0, 3, (4, 200)).astype(np.float64)
    expected = [roc_auc_score(np.repeat(TARGET, w.astype(int)), np.repeat(SCORE, w.astype(int))) for w in weight]
    np.testing.assert_allclose(auroc(TARGET, SCORE, weight), expected)
    expected = [average_precision_score(*(np.repeat(x, w.astype(int)) for x in (TARGET, SCORE))) for w in weight]
    np.testing.assert_allclose(average_precision(TARGET, SCORE, weight), expected)


def test_many_films_are_judged_without_a_table_of_all_pairs() -> None:
    """Resamples are counted some at a time, and a threshold is found in the order of the films."""
    films = 20_000
    target, score = (RANDOM.random(films) < 0.2).astype(np.float64), RANDOM.random(films)
    weight = np.ones((300, films), np.float32)
    tracemalloc.start()
    try:
        auroc(target, score, weight)
        operating_points(score[:, None], target[:, None], np.ones((films, 1)))
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_equal_probabilities_share_a_bin_in_whatever_order_films_come() -> None:
    """A constant probability that is the prevalence is calibrated, also where positives come first."""
    target = np.r_[np.ones(50), np.zeros(50)]
    assert filled_error(target, np.full(100, 0.5)) == pytest.approx(0)
    assert reliability(target, np.full(100, 0.5)).seen.tolist() == [0.5]
    shuffled = RANDOM.permutation(200)
    probability = np.round(1 / (1 + np.exp(-SCORE)), 1)
    mixed = filled_error(TARGET[shuffled], probability[shuffled])
    assert filled_error(TARGET, probability) == pytest.approx(mixed)
    assert [len(films) for films in filled_bins(RANDOM.random(23), 5)] == [5, 5, 5, 4, 4]


def test_an_area_without_positives_is_unknown() -> None:
    """One-sided films give NaN, not a flattering number."""
    assert np.isnan(auroc(np.zeros(5), np.arange(5.0))[0])
    assert np.isnan(average_precision(np.zeros(5), np.arange(5.0))[0])


def test_telling_sources_apart_earns_nothing_within_them() -> None:
    """A score that is the source: good over all pairs, worthless within sources."""
    source = np.array(["a"] * 50 + ["b"] * 50)
    target = np.r_[np.ones(40), np.zeros(10), np.ones(10), np.zeros(40)]
    score = (source == "a").astype(np.float64)
    assert float(auroc(target, score)[0]) == pytest.approx(0.8)
    assert float(auroc_within(target, score, source)[0]) == pytest.approx(0.5)


def test_resampling_draws_patients_whole() -> None:
    """All films of a patient have one multiplicity, and as many patients are drawn as there are."""
    patient = np.array(["a", "a", "b", "c", "c", "c"])
    drawn = resamples(patient, 50, seed=1)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert np.array_equal(drawn[:, 3], drawn[:, 5])
    assert (drawn[:, 0] + drawn[:, 2] + drawn[:, 3]).tolist() == [3.0] * 50


def test_one_patient_has_no_interval() -> None:
    """However many films there are of one: an interval without width would claim to know."""
    target, score = TARGET[:, None].astype(np.float32), np.asarray(1 / (1 + np.exp(-SCORE)))[:, None]
    alone = np.array(["p"] * len(target))
    scored = Scored(("a",), target, score, None, alone, alone, (0.5,))
    (found,) = figures("test", scored, ("a",), seed=1).classes
    (at,) = operating(scored, (True,), seed=1)
    for estimate in (found.auroc, found.within, found.average_precision, at.sensitivity, at.f1, at.brier):
        assert (True, None, None) == (estimate.value is not None, estimate.low, estimate.high)


def test_calibration_keeps_the_order_and_states_the_frequency() -> None:
    """AUROC does not change, overconfident logits become honest, and a slope is positive even if inverted."""
    truth = 1 / (1 + np.exp(-RANDOM.normal(-1, 1.5, 600)))
    target = (RANDOM.random(600) < truth).astype(np.float64)
    logits = np.stack([4 * np.log(truth / (1 - truth)) + 2, -np.log(truth / (1 - truth))], axis=1)
    both = np.stack([target, target], axis=1)
    found = calibrate(logits, both, np.ones_like(both), exclusive=False)
    p = found.apply(logits)
    assert min(found.slope) > 0
    np.testing.assert_allclose(auroc(target, p[:, 0]), auroc(target, logits[:, 0]))
    raw = 1 / (1 + np.exp(-logits[:, 0]))
    assert filled_error(target, p[:, 0]) < filled_error(target, raw) / 2
    assert float(p[:, 0].mean()) == pytest.approx(float(target.mean()), abs=0.01)


def test_few_positives_do_not_choose_a_threshold_alone() -> None:
    """Two positives far out: the operating point stays near the prevalence, not at the outliers."""
    target = np.r_[np.ones(2), np.zeros(198)]
    logits = np.r_[[8.0, 9.0], np.linspace(-3, 3, 198)]
    found = calibrate(logits[:, None], target[:, None], np.ones((200, 1)), exclusive=False)
    youden = float(found.apply(np.array([[8.0]]))[0, 0])
    assert 0.01 < found.threshold[0] < youden / 2


def test_figures_compare_with_the_baseline_on_the_same_resamples() -> None:
    """A model that equals its baseline differs by exactly nothing, interval included."""
    probability = 1 / (1 + np.exp(-SCORE))[:, None]
    scored = Scored(
        ("Mass",),
        TARGET[:, None].astype(np.float32),
        probability,
        probability.copy(),
        np.array(["s"] * 200),
        np.array([f"p{i // 2}" for i in range(200)]),
        (0.5,),
    )
    found = figures("test", scored, ("Mass",), seed=1)
    assert found.difference is not None
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)
    assert found.macro.value == pytest.approx(roc_auc_score(TARGET, SCORE), abs=1e-4)
    assert found.macro.low is not None
    assert found.macro.high is not None
    assert found.macro.low < roc_auc_score(TARGET, SCORE) < found.macro.high


def test_classes_that_exclude_each_other_share_one_temperature() -> None:
    """Overconfident logits are cooled until they mean what they say; probabilities sum to 1, order stays."""
    random = np.random.default_rng(5)
    sure = random.normal(size=(600, 3))
    told = np.exp(sure) / np.exp(sure).sum(axis=1, keepdims=True)
    target = np.array([random.multinomial(1, p) for p in told], np.float64)
    found = calibrate(sure * 4 + [0, 2, 0], target, np.ones_like(target), exclusive=True)
    assert found.exclusive
    assert found.slope[0] == found.slope[1] == found.slope[2] == pytest.approx(0.25, rel=0.15)
    p = found.apply(sure * 4 + [0, 2, 0])
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(p.mean(axis=0), target.mean(axis=0), atol=0.02)
    assert all(0 < t < 1 for t in found.threshold)


def test_films_of_an_unknown_class_do_not_calibrate() -> None:
    """Fitted beside films that nobody knows, classes that exclude each other get what they get without them."""
    random = np.random.default_rng(6)
    sure = random.normal(size=(300, 3))
    target = np.array([random.multinomial(1, p / p.sum()) for p in np.exp(sure)], np.float64)
    stray, lies = random.normal(size=(200, 3)) * 5, np.tile([0.0, 0.0, 1.0], (200, 1))
    known = np.r_[np.ones((300, 3)), np.zeros((200, 3))]
    alone = calibrate(sure, target, np.ones_like(target), exclusive=True)
    assert alone == calibrate(np.r_[sure, stray], np.r_[target, lies], known, exclusive=True)
    nothing = calibrate(sure, target, np.zeros_like(target), exclusive=True)
    assert ((1.0,) * 3, (0.0,) * 3, (0.5,) * 3) == (nothing.slope, nothing.bias, nothing.threshold)
