"""Operating points against scikit-learn; DeLong by hand and against a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cxrd_models.evaluate.compare import compare, delong, holm
from cxrd_models.evaluate.figures import Scored
from cxrd_models.evaluate.operating import confusion, operating
from cxrd_models.evaluate.scores import auroc, calibration_error, even_bins, resamples, sensitivity_at

RANDOM = np.random.default_rng(7)
N = 300
TARGET = (RANDOM.random((N, 2)) < 0.3).astype(np.float32)
SHARED = RANDOM.normal(0, 1, (N, 2))
SCORE = 1 / (1 + np.exp(-(TARGET + SHARED)))
OTHER = 1 / (1 + np.exp(-(0.6 * TARGET + 0.6 * SHARED + RANDOM.normal(0, 0.8, (N, 2)))))
ALONE = np.array([f"p{i}" for i in range(N)])


def scored(target: np.ndarray, probability: np.ndarray, patient: np.ndarray = ALONE) -> Scored:
    size = target.shape[1]
    source = np.array(["s"] * len(target))
    classes = tuple(f"c{k}" for k in range(size))
    return Scored(classes, target, probability, None, source, patient, (0.6,) * size)


def test_figures_at_a_threshold_agree_with_scikit_learn() -> None:
    """Every share of the four cells, and none for a class that is not reported."""
    found, silent = operating(scored(TARGET, SCORE), (True, False), seed=1)
    truth, called = TARGET[:, 0], SCORE[:, 0] >= 0.6
    tn, fp, fn, tp = metrics.confusion_matrix(truth, called).ravel()
    assert (tn, fp, fn, tp) == (
        found.true_negatives,
        found.false_positives,
        found.false_negatives,
        found.true_positives,
    )
    expected = {
        "sensitivity": metrics.recall_score(truth, called),
        "specificity": metrics.recall_score(1 - truth, ~called),
        "precision": metrics.precision_score(truth, called),
        "f1": metrics.f1_score(truth, called),
        "accuracy": metrics.accuracy_score(truth, called),
        "matthews": metrics.matthews_corrcoef(truth, called),
    }
    expected["brier"] = metrics.brier_score_loss(truth, SCORE[:, 0])
    for name, value in expected.items():
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(value, abs=1e-4), name
        assert estimate.low < value < estimate.high, name
    assert silent.threshold is None
    assert silent.sensitivity.value is None
    assert (silent.brier.value or 0) > 0


def test_a_share_without_a_mistake_is_not_certain() -> None:
    """Resamples of films without a mistake have none: Wilson's interval stands for a share, and none for the rest."""
    target = np.r_[np.ones(20), np.zeros(43)][:, None].astype(np.float32)
    score = np.where(target > 0, 0.9, 0.1).astype(np.float64)
    patient = np.array([f"p{i // 2}" for i in range(63)])
    (found,) = operating(scored(target, score, patient), (True,), seed=1)
    for at, people in ((found.sensitivity, 10), (found.specificity, 22), (found.precision, 10), (found.accuracy, 32)):
        assert (at.value, at.high) == (1, 1)
        assert at.low == pytest.approx(people / (people + 1.959964**2), abs=1e-4)  # Wilson 1927
    for other in (found.f1, found.matthews):
        assert (1, None, None) == (other.value, other.low, other.high)


def test_sensitivity_at_a_specificity_is_a_point_of_the_curve() -> None:
    """The best point of scikit-learn's curve that keeps the specificity."""
    for wanted in (0.8, 0.9):
        away, there, _ = metrics.roc_curve(TARGET[:, 0], np.round(SCORE[:, 0], 2), drop_intermediate=False)
        best = there[1 - away >= wanted - 1e-12].max()
        assert sensitivity_at(TARGET[:, 0], np.round(SCORE[:, 0], 2), wanted)[0] == pytest.approx(best)
    assert np.isnan(sensitivity_at(np.ones(3), np.arange(3.0), 0.9))[0]
    assert [0.5] == sensitivity_at(np.array([1, 1, 0, 0]), np.array([3.0, 1, 1, 2]), 1.0)


def test_what_is_resampled_is_the_figure_of_repeated_films() -> None:
    """Sensitivity at a specificity, and both calibration errors, with films as often as they were drawn."""
    target, score = TARGET[:, 0], np.round(SCORE[:, 0], 2)
    weight = RANDOM.integers(0, 3, (4, N)).astype(np.float64)
    bins = even_bins(score, 10)
    found = sensitivity_at(target, score, 0.9, weight), calibration_error(target, score, bins, weight)
    for row, times in enumerate(weight.astype(int)):
        copies = np.repeat(np.arange(N), times)
        assert found[0][row] == pytest.approx(sensitivity_at(target[copies], score[copies], 0.9)[0])
        again = calibration_error(target[copies], score[copies], even_bins(score[copies], 10))
        assert found[1][row] == pytest.approx(again[0])


def test_calibration_error_by_hand() -> None:
    """Two bins: 0.2 said and 0.5 seen, 0.9 said and 1 seen."""
    p, y = np.array([0.2, 0.2, 0.9, 0.9]), np.array([0.0, 1.0, 1.0, 1.0])
    assert calibration_error(y, p, even_bins(p, 10))[0] == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)


def test_exclusive_classes_are_counted_by_the_most_probable() -> None:
    """Rows are the truth; accuracy and balanced accuracy as scikit-learn has them."""
    truth = RANDOM.choice(3, N, p=[0.6, 0.3, 0.1])
    p = RANDOM.dirichlet(np.ones(3), N) + 0.5 * np.eye(3)[truth]
    found = confusion(scored(np.eye(3, dtype=np.float32)[truth], p / p.sum(axis=1, keepdims=True)), seed=1)
    said = p.argmax(axis=1)
    assert np.array_equal(np.array(found.counts), metrics.confusion_matrix(truth, said))
    assert found.accuracy.value == pytest.approx((truth == said).mean(), abs=1e-4)
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(truth, said), abs=1e-4)
    precision = metrics.precision_score(truth, said, average="macro", zero_division=0)
    assert found.macro_precision.value == pytest.approx(precision, abs=1e-4)
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(truth, said, average="macro"), abs=1e-4)


def test_delong_by_hand() -> None:
    """Positives 3 and 1, negatives 2 and 0: 3 of 4 pairs; components 1, 1/2 and 1/2, 1."""
    target, score = np.array([1.0, 1, 0, 0]), np.array([[3.0, 1, 2, 0]])
    found = delong(target, score, np.array(["a", "b", "c", "d"]))
    assert found.area[0] == pytest.approx(0.75)
    spread = ((1 - 0.75) ** 2 + (0.5 - 0.75) ** 2) / 1  # sample variance of both sides
    assert found.covariance[0, 0] == pytest.approx(spread / 2 + spread / 2)


@pytest.mark.parametrize("films", [1, 3])
def test_delong_agrees_with_a_bootstrap_over_patients(films: int) -> None:
    """Area, standard error of the difference; also where patients have several films that resemble each other."""
    random = np.random.default_rng(films)
    people = 500 // films
    patient = np.repeat([f"p{i}" for i in range(people)], films)
    target = (random.random(people * films) < 0.4).astype(np.float64)  # a patient may have films of both sides
    own = np.repeat(random.normal(0, 1, (2, people)), films, axis=1)
    scores = target + own + random.normal(0, 0.4, (2, len(target)))
    found = delong(target, scores, patient)
    weight = resamples(patient, 3000, seed=2)
    drawn = np.stack([auroc(target, s, weight) for s in scores])
    np.testing.assert_allclose(found.area, [auroc(target, s)[0] for s in scores])
    np.testing.assert_allclose(found.covariance.diagonal(), drawn.var(axis=1), rtol=0.15)
    error = np.sqrt(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
    assert error == pytest.approx(float((drawn[0] - drawn[1]).std()), rel=0.1)


def test_a_comparison_tells_the_better_model_and_not_a_copy() -> None:
    """The better of two is found, a copy differs by nothing with p 1, an empty class stays silent."""
    target = np.c_[TARGET, np.zeros(N)].astype(np.float32)
    first = np.c_[SCORE, SCORE[:, :1]]
    found = compare(("a", "b", "none"), target, first, np.c_[OTHER[:, 0], SCORE[:, 1], OTHER[:, 0]], ALONE)
    assert found[0].p is not None
    assert found[0].p_holm == pytest.approx(2 * found[0].p, rel=0.01)
    assert found[0].low is not None
    assert found[0].low > 0
    assert (found[1].difference, found[1].low, found[1].high, found[1].p) == (0.0, 0.0, 0.0, 1.0)
    assert found[2].p is found[2].first is None


@pytest.mark.parametrize("patient", [["a", "b", "c", "d"], ["a", "a", "c", "d"]])
def test_one_patient_with_a_finding_decides_nothing(patient: list[str]) -> None:
    """The areas are told, no p: a spread of one is 0, and any difference would be certain."""
    target = np.array([[1.0], [1.0 if patient[0] == patient[1] else 0.0], [0.0], [0.0]])
    scores = np.array([[4.0], [3], [2], [1]])
    (found,) = compare(("a",), target, scores, -scores, np.array(patient))
    assert (found.first, found.second, found.p, found.low) == (1.0, 0.0, None, None)


def test_holm_by_hand() -> None:
    """Holm 1979: smallest times 3, then at least as much, 1 at most; what is unknown does not count."""
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, np.nan, 0.03])), [0.06, 0.03, np.nan, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
