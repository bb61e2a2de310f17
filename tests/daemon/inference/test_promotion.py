"""The gate says what a version lacks, in one line each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrd.errors import PackageError
from cxrd.inference.manifest import Manifest
from cxrd.inference.packages import read_package
from cxrd.inference.promotion import Case, Limits, Requirement, judge, met
from cxrd.inference.shadowing import Agreement, agreement, compare
from cxrd.inference.trial import auroc, parse_trial, read_trial
from cxrd.inference.trial import compare as compare_areas
from support.packages import CLASSES, make_package
from support.versions import judged, predictions

LIMITS = Limits(0.02, 100, 0.9)
NOBODY = Agreement(0, 0, 0)


def case(tmp_path: Path, candidate: Path, active: Path | None, **changes: Any) -> Case:
    """A version and the one that answers, with what their packages carry."""
    mine = read_package(candidate)[0]
    other = None if active is None else read_package(active)[0]
    known: dict[str, Any] = {
        "candidate": mine,
        "active": other,
        "trial": read_trial(candidate, mine),
        "active_trial": None if active is None or other is None else read_trial(active, other),
        "looked_on": False,
        "agreement": NOBODY,
    }
    return Case(**{**known, **changes})


def closed(found: list[Requirement]) -> list[str]:
    """Names of what is not met; each says what to do."""
    assert all(r.todo for r in found if not r.ok)
    return [r.name for r in found if not r.ok]


def test_a_version_as_good_as_the_active_one_passes(tmp_path: Path) -> None:
    """On the same films, by pairs: the noise of the test set itself does not count."""
    found = judge(case(tmp_path, judged(tmp_path, "2.0.0"), judged(tmp_path)), LIMITS)
    assert met(found), found
    assert ["evaluation", "classes", "areas", "shadow"] == [r.name for r in found]
    assert "200 films" in found[2].found


def test_a_worse_version_stays_outside(tmp_path: Path) -> None:
    """With the interval that says so."""
    found = judge(case(tmp_path, judged(tmp_path, "2.0.0", skill=1.0), judged(tmp_path)), LIMITS)
    assert ["areas"] == closed(found)


def test_a_first_version_needs_an_evaluation_only(tmp_path: Path) -> None:
    """There is nothing to compare it with; without intervals it is not judged at all."""
    assert met(judge(case(tmp_path, judged(tmp_path), None), LIMITS))
    assert ["evaluation"] == closed(judge(case(tmp_path, make_package(tmp_path, version="3.0.0"), None), LIMITS))


def test_films_that_nobody_has_in_common_are_not_a_comparison(tmp_path: Path) -> None:
    """The operator is told how to make one, and it is taken."""
    other = {"evaluation/predictions.csv": predictions(2.0, seed=2, first=1000)}
    candidate, active = judged(tmp_path, "2.0.0", papers=other), judged(tmp_path)
    (areas,) = [r for r in judge(case(tmp_path, candidate, active), LIMITS) if not r.ok]
    assert "cxrd evaluate" in areas.todo
    given = parse_trial(predictions(2.0, seed=1, first=1000).decode(), "given")
    assert met(judge(case(tmp_path, candidate, active, active_trial=given), LIMITS))


def test_too_few_test_films_are_named_for_what_they_are(tmp_path: Path) -> None:
    """Another evaluation of the active version would help nobody."""
    active = judged(tmp_path)
    few = predictions(2.0, seed=1).decode().splitlines(keepends=True)[:10]
    candidate = judged(tmp_path, "2.0.0", papers={"evaluation/predictions.csv": "".join(few).encode()})
    (areas,) = [r for r in judge(case(tmp_path, candidate, active), LIMITS) if not r.ok]
    assert ("only 9 test film(s) in common", True) == (areas.found, "30 films at least" in areas.todo)


def test_a_class_that_is_lost_is_named(tmp_path: Path) -> None:
    """A report that used to speak of effusions must not fall silent by an update."""
    manifest = read_package(judged(tmp_path, "2.0.0"))[0]
    fewer = [c.model_copy(update={"reported": c.id != "Effusion"}) for c in manifest.classes]
    candidate = manifest.model_copy(update={"classes": tuple(fewer)})
    asked = replace(case(tmp_path, tmp_path / "tiny" / "2.0.0", judged(tmp_path)), candidate=candidate)
    found = judge(asked, LIMITS)
    assert ["classes"] == closed(found)
    assert "Effusion" in found[1].found


@pytest.mark.parametrize(
    ("told", "expected"),
    [(Agreement(99, 396, 396), ["shadow"]), (Agreement(100, 400, 350), ["shadow"]), (Agreement(100, 400, 380), [])],
)
def test_a_shadow_must_have_seen_enough_and_agree(tmp_path: Path, told: Agreement, expected: list[str]) -> None:
    """Where it looked on; one that never did is let pass, and the line says so."""
    asked = case(tmp_path, judged(tmp_path, "2.0.0"), judged(tmp_path), looked_on=True, agreement=told)
    assert expected == closed(judge(asked, LIMITS))


def test_areas_are_those_of_a_library() -> None:
    """Ties count half."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 300).astype(np.float64)
    scores = np.round(random.random(300) * 0.5 + truth * 0.2, 1)
    assert roc_auc_score(truth, scores) == pytest.approx(auroc(truth, scores))
    assert np.isnan(auroc(np.ones(3), np.ones(3)))


def test_an_interval_covers_films_of_a_patient_together() -> None:
    """The same films again are no more evidence: an interval by patient stays as wide, one by film shrinks."""
    once = predictions(1.0, seed=1).decode()
    other = predictions(1.4, seed=2).decode()

    def four_times(text: str, patient: str) -> str:
        head, *lines = text.strip().splitlines()
        return "\n".join(
            [
                f"{head},patient",
                *(f"{n}/{line},{patient.format(i, n)}" for n in range(4) for i, line in enumerate(lines)),
            ]
        )

    def width(a: str, b: str) -> float:
        mean = compare_areas(parse_trial(a, "a"), parse_trial(b, "b"), CLASSES)[-1]
        return mean.high - mean.low

    alone = width(once, other)
    by_patient = width(four_times(once, "{}"), four_times(other, "{}"))
    by_film = width(four_times(once, "{}-{}"), four_times(other, "{}-{}"))
    assert alone == pytest.approx(by_patient, rel=0.2)
    assert by_film < 0.7 * by_patient


def test_a_table_that_is_none_is_named() -> None:
    """With where it stands."""
    with pytest.raises(PackageError, match=r"given\.csv is no table"):
        parse_trial("file,true_a,p_a\n1.png,0,many\n", "given.csv")


def manifest(tmp_path: Path) -> Manifest:
    """Four classes with thresholds of 0.5."""
    return read_package(make_package(tmp_path))[0]


def test_a_shadow_is_compared_class_by_class(tmp_path: Path) -> None:
    """Agreement at the operating points, positive rates, and how far scores lie apart."""
    tiny = manifest(tmp_path)
    quiet = dict.fromkeys(CLASSES, 0.1)
    pairs = [(quiet, quiet), (quiet, {**quiet, "Effusion": 0.9}), ({**quiet, "Effusion": 0.8}, {}), ({}, quiet)]
    found = compare(tiny, tiny, pairs)
    effusion = next(c for c in found if c.finding == "Effusion")
    assert (2, 2, 1, 0.0, 0.5) == effusion[1:6]
    assert 0.4 == pytest.approx(effusion.shift)
    total = agreement(pairs, found)
    assert (2, 8, 7) == total
    assert 7 / 8 == total.share
    assert agreement([], compare(tiny, tiny, [])).share is None
