"""From numbers to findings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cxrd.findings import Answer, Applicability, FilmRef, ModelRef, Subject, View
from cxrd.inference.answers import answer, applies, judge
from cxrd.inference.heatmap import box_on_film
from cxrd.inference.manifest import IntendedUse, Manifest
from support.packages import CLASSES, manifest

MODEL = ModelRef(id="tiny", version="1.0.0", digest="0" * 64)


def film(**changes: Any) -> FilmRef:
    """Make a film of 800 x 400."""
    known = {"study_uid": "1", "series_uid": "2", "sop_uid": "3", "sop_class": "4", "sha256": "5"}
    return FilmRef.model_validate({**known, "rows": 800, "columns": 400, "view": View.PA, **changes})


def model(classes: tuple[str, ...] = CLASSES, **changes: Any) -> Manifest:
    """Make a manifest, changed."""
    return Manifest.model_validate(manifest(classes, {"model.onnx": b""}, **changes))


def changed(changes: list[dict[str, Any]], task: str) -> Manifest:
    """Make a manifest of as many classes as there are changes to them."""
    found = manifest(CLASSES[: len(changes)], {"model.onnx": b""}, task=task)
    for klass, change in zip(found["classes"], changes, strict=True):
        klass.update(change)
    return Manifest.model_validate(found)


def heat(k: int, row: int, column: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Make maps of four classes, one cell of the k-th hot."""
    maps = np.zeros((4, 4, 4), np.float32)
    maps[k, row, column] = 2
    return maps


def probs(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Probabilities."""
    return np.array(values, np.float32)


def test_each_label_is_judged_by_its_own_threshold() -> None:
    """At the threshold counts as present; a class without threshold or not reported stays undetermined."""
    each = changed([{"threshold": 0.3}, {}, {"threshold": None}, {"reported": False}], "multilabel")
    said = judge(each, probs(0.3, 0.49, 0.99, 0.99))
    assert (Answer.PRESENT, Answer.ABSENT, Answer.UNDETERMINED, Answer.UNDETERMINED) == said


def test_exclusive_classes_have_one_answer_or_none() -> None:
    """Of several above threshold the most probable is present; with none above, nothing is determined."""
    exclusive = model(task="multiclass")
    said = judge(exclusive, probs(0.5, 0.6, 0.1, 0.1))
    assert (Answer.ABSENT, Answer.PRESENT, Answer.ABSENT, Answer.ABSENT) == said
    assert (Answer.UNDETERMINED,) * 4 == judge(exclusive, probs(0.4, 0.3, 0.2, 0.1))


def test_exclusive_classes_without_thresholds_are_answered_by_the_most_probable() -> None:
    """Nothing to reach, so the largest wins; a class that is not reported still says nothing."""
    bare = changed([{"threshold": None}, {"threshold": None}, {"threshold": None, "reported": False}], "multiclass")
    assert (Answer.ABSENT, Answer.PRESENT, Answer.UNDETERMINED) == judge(bare, probs(0.2, 0.45, 0.35))


def test_an_unreported_exclusive_class_is_never_called_absent() -> None:
    """The others have their answer, it has none."""
    partly = changed([{}, {}, {"threshold": None, "reported": False}], "multiclass")
    assert (Answer.PRESENT, Answer.ABSENT, Answer.UNDETERMINED) == judge(partly, probs(0.6, 0.2, 0.2))


@pytest.mark.parametrize(("probability", "expected"), [(0.49, Answer.ABSENT), (0.5, Answer.PRESENT)])
def test_a_single_class_can_be_absent(probability: float, expected: Answer) -> None:
    """One sigmoid output excludes nothing: below its threshold it is absent, not undetermined."""
    assert (expected,) == judge(model(("pneumonia",), task="binary"), probs(probability))


@pytest.mark.parametrize(
    ("use", "view", "subject", "expected"),
    [
        ({}, View.PA, {}, Applicability.INSIDE),
        ({}, View.UNKNOWN, {}, Applicability.UNKNOWN),
        ({}, View.FRONTAL, {}, Applicability.INSIDE),
        ({"views": ("PA",)}, View.AP, {}, Applicability.OUTSIDE),
        ({"views": ("PA",)}, View.FRONTAL, {}, Applicability.UNKNOWN),
        ({"max_age_years": 18}, View.PA, {"age_years": 40}, Applicability.OUTSIDE),
        ({"max_age_years": 18}, View.PA, {}, Applicability.UNKNOWN),
        ({"min_age_years": 18}, View.PA, {"age_years": 17.9}, Applicability.OUTSIDE),
        ({"min_age_years": 18}, View.PA, {"age_years": 18}, Applicability.INSIDE),
        ({"sexes": ("F",)}, View.PA, {"sex": "M"}, Applicability.OUTSIDE),
        ({"sexes": ("F",)}, View.PA, {}, Applicability.UNKNOWN),
        ({"sexes": ("F",)}, View.PA, {"sex": "F"}, Applicability.INSIDE),
        ({"sexes": ("F",), "max_age_years": 18}, View.PA, {"sex": "M"}, Applicability.OUTSIDE),
    ],
)
def test_intended_use(use: dict[str, Any], view: View, subject: dict[str, Any], expected: Applicability) -> None:
    """Outside is silence; not knowing is said."""
    stated = IntendedUse.model_validate({"views": ("PA", "AP"), "text": "", **use})
    assert expected == applies(stated, view, Subject(**subject))[0]


def test_what_the_header_does_not_tell_is_named() -> None:
    """All of it, in one note; what lies outside is said before what is not known."""
    stated = IntendedUse(views=("PA",), sexes=("F",), max_age_years=18, text="")
    assert "the header does not tell the age or the sex or the view" == applies(stated, View.UNKNOWN, Subject())[1]
    assert "sex M is outside the model's intended use" == applies(stated, View.UNKNOWN, Subject(sex="M"))[1]


def test_outside_its_intended_use_a_model_says_nothing() -> None:
    """No finding, and the reason."""
    said = answer(
        model(intended_use={"views": ["PA"], "text": ""}),
        MODEL,
        probs(1, 1, 1, 1),
        None,
        film(view=View.AP),
        Subject(),
    )
    assert (Applicability.OUTSIDE, ()) == (said.applicability, said.findings)
    assert "AP" in said.note


def test_the_box_lies_where_the_heat_is() -> None:
    """The hot cell of row 1, column 3 on a 4 x 4 grid over 800 x 400."""
    said = answer(model(), MODEL, probs(0.9, 0.1, 0.1, 0.1), heat(0, 1, 3), film(), Subject())
    (box,) = said.findings[0].boxes
    assert 300 - 60 < box.left < 300 + 20
    assert (400.0, True, True) == (box.right, 140 < box.top < 200, 400 <= box.bottom < 460)


def test_on_a_mirrored_film_the_box_is_mirrored_back() -> None:
    """The model saw the film turned; the reader sees it as it is stored."""
    straight = answer(model(), MODEL, probs(0.9, 0, 0, 0), heat(0, 1, 3), film(), Subject()).findings[0]
    turned = answer(model(), MODEL, probs(0.9, 0, 0, 0), heat(0, 1, 3), film(mirrored=True), Subject()).findings[0]
    assert (400 - straight.boxes[0].right, 400 - straight.boxes[0].left) == (
        turned.boxes[0].left,
        turned.boxes[0].right,
    )
    assert turned.heat is not None
    assert 1.0 == turned.heat.grid()[1, 0]


def test_only_present_findings_and_the_strongest_keep_their_heat() -> None:
    """Rows stay small; absent findings get no box."""
    maps = np.ones((4, 4, 4), np.float32)
    said = answer(model(), MODEL, probs(0.9, 0.8, 0.2, 0.1), maps, film(), Subject())
    assert [True, True, False, False] == [x.heat is not None for x in said.findings]
    quiet = answer(model(), MODEL, probs(0.1, 0.4, 0.2, 0.1), maps, film(), Subject())
    assert [False, True, False, False] == [x.heat is not None for x in quiet.findings]
    assert [()] * 4 == [x.boxes for x in quiet.findings]


def test_a_map_near_zero_is_no_localisation() -> None:
    """It must not be stretched until it looks like something."""
    faint = np.full((4, 4), 0.01, np.float32)
    assert box_on_film(faint, film(), threshold=0.4, min_peak=0.05) is None
    assert box_on_film(np.zeros((4, 4), np.float32), film(), threshold=0.4, min_peak=0.0) is None


def test_of_two_regions_the_larger_is_boxed() -> None:
    """The first hot spot is hotter, the second larger."""
    grid = np.zeros((8, 8), np.float32)
    grid[0, 0] = 1.0
    grid[4:8, 4:8] = 0.9
    box = box_on_film(grid, film(rows=80, columns=80), threshold=0.4, min_peak=0)
    assert box is not None
    assert box.left > 30
    assert box.top > 30


def test_the_strongest_class_is_the_one_nearest_to_its_operating_point() -> None:
    """Thresholds follow prevalence: 0.09 of 0.1 is more than 0.4 of 0.5, and unreported classes come last."""
    points = changed([{}, {"threshold": 0.1}, {"threshold": None, "reported": False}], "multilabel")
    said = answer(points, MODEL, probs(0.4, 0.09, 0.99), np.ones((3, 4, 4), np.float32), film(), Subject())
    assert [False, True, False] == [x.heat is not None for x in said.findings]


def test_a_present_normal_film_has_heat_but_no_box() -> None:
    """There is nothing to draw a rectangle around."""
    normal = model(("normal", "pneumonia"), task="binary")
    said = answer(normal, MODEL, probs(0.9, 0.1), np.ones((2, 4, 4), np.float32), film(), Subject())
    assert [(Answer.PRESENT, True, ()), (Answer.ABSENT, False, ())] == [
        (x.answer, x.heat is not None, x.boxes) for x in said.findings
    ]


def test_one_map_for_all_classes_serves_each_present_one() -> None:
    """A class-agnostic map is not indexed by class."""
    shared = model(heat={"kind": "rollout", "height": 4, "width": 4, "per_class": False})
    said = answer(shared, MODEL, probs(0.9, 0.1, 0.9, 0.1), heat(0, 1, 1)[:1], film(), Subject())
    assert [1, 0, 1, 0] == [len(x.boxes) for x in said.findings]


def test_a_box_reaches_the_edges_of_pixels() -> None:
    """The upper left quarter: 0 to half the columns, 0 to half the rows, give or take half a fine step."""
    grid = np.zeros((4, 4), np.float32)
    grid[:2, :2] = 1.0
    box = box_on_film(grid, film(), threshold=0.5, min_peak=0.0)
    assert box is not None
    assert (0, 0) == (box.left, box.top)
    assert 200 == pytest.approx(box.right, abs=400 / 64)
    assert 400 == pytest.approx(box.bottom, abs=800 / 64)


def test_a_single_hot_cell_is_boxed_at_any_threshold() -> None:
    """Interpolation lowers a lone peak; the box shrinks towards the cell's centre but does not vanish."""
    box = box_on_film(heat(0, 1, 2)[0], film(rows=400, columns=400), threshold=0.99, min_peak=0.0)
    assert box is not None
    assert 200 < box.left < 250 < box.right < 300
    assert 100 < box.top < 150 < box.bottom < 200


def test_evidence_all_over_the_film_is_no_place() -> None:
    """A box around everything would look like knowledge."""
    spread = np.ones((4, 4), np.float32)
    spread[0, 0] = 0.0
    assert box_on_film(spread, film(), threshold=0.4, min_peak=0) is None
