"""Films in, findings out: models that share inputs, take lungs, or ask a second graph."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from cxrd import pipeline
from cxrd.demo.samples import samples
from cxrd.errors import PackageError, Reason, Refused
from cxrd.findings import FilmAnalysis, ModelRef, Subject
from cxrd.imaging.lungs import lung_mask
from cxrd.inference.content import ContentCheck
from cxrd.inference.engine import Classifier, load
from cxrd.pipeline import (
    Plan,
    Prepared,
    analyse,
    config_digest,
    distinct,
    one_patient,
    prepare,
    screen,
    subject_of,
)
from cxrd.rules import Admission
from cxrd.settings import Settings
from support.datasets import encoded, film, pixels
from support.packages import GATE, SIDE, make_package

LUNGS = ["image", "mask"]


def chest(*, stripe: int, mirrored: bool = False) -> bytes:
    """A film with dark lungs, the patient's right one smaller, and a bright ``stripe`` of four."""
    rows, columns = 256, 240
    picture = np.full((rows, columns), 3000, np.uint16)
    for x, radii in ((0.28, (34, 70)), (0.72, (40, 84))):
        cv2.ellipse(picture, (round(x * columns), 115), radii, 0, 0, 360, 800, thickness=-1)
    picture[100:130, stripe * columns // 4 : (stripe + 1) * columns // 4] += 900
    dataset = film(PatientOrientation=["R" if mirrored else "L", "F"])
    pixels(dataset, np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture, bits_stored=12)
    return encoded(dataset)


def prepared(classifiers: list[Classifier], *data: bytes) -> list[Prepared]:
    """Films for these models."""
    plan = Plan.of(classifiers, 128)
    return [prepare(each, "0" * 64, plan) for each in data]


def outcome(data: bytes, plan: Plan) -> Prepared | Refused:
    """A film, or why it is none."""
    try:
        return prepare(data, "0" * 64, plan)
    except Refused as refused:
        return refused


def probabilities(analysis: FilmAnalysis, model: int = 0) -> NDArray[np.float64]:
    """What one model said of a film."""
    return np.array([finding.probability for finding in analysis.answers[model].findings])


def stripes(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of each of four stripes of a model's input (1, H, W)."""
    return np.asarray(picture[0].astype(np.float64).reshape(SIDE, 4, SIDE // 4).mean(axis=(0, 2)))


def test_a_model_that_takes_lungs_sees_them_beside_the_film(tmp_path: Path) -> None:
    """It answers for what lies in the lungs; a model without them, in the same batch, for the whole film."""
    models = [
        load(make_package(tmp_path, id="whole"), "cpu"),
        load(make_package(tmp_path, id="inside", inputs=LUNGS), "cpu"),
    ]
    (one,) = prepared(models, chest(stripe=0))
    assert len(one.inputs) == 1
    assert [(SIDE, SIDE)] == list(one.lungs)
    image, lungs = one.inputs[models[0].manifest.preprocess], one.lungs[SIDE, SIDE]
    assert lungs.shape == (1, SIDE, SIDE)
    assert lungs.dtype == np.float32
    assert 0.15 < lungs.mean() < 0.6
    assert image[lungs > 0.99].mean() < image[lungs == 0].mean() - 0.3  # where the film is dark
    (analysis,) = analyse(models, [one])
    np.testing.assert_allclose(probabilities(analysis), stripes(image), atol=1e-4)
    np.testing.assert_allclose(probabilities(analysis, 1), stripes(image * lungs), atol=1e-4)


def test_lungs_are_turned_as_the_film_is(tmp_path: Path) -> None:
    """A mirrored film gives the inputs of the film that is not, lungs and all."""
    models = [load(make_package(tmp_path, inputs=LUNGS), "cpu")]
    straight, turned = prepared(models, chest(stripe=3), chest(stripe=3, mirrored=True))
    assert (False, True) == (straight.film.mirrored, turned.film.mirrored)
    lungs = straight.lungs[SIDE, SIDE]
    assert not np.array_equal(lungs, lungs[:, :, ::-1])
    np.testing.assert_array_equal(lungs, turned.lungs[SIDE, SIDE])
    first, second = (probabilities(found) for found in analyse(models, [straight, turned]))
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(("takers", "searches"), [((), 0), (("a",), 1), (("a", "b"), 1)])
def test_lungs_are_looked_for_once_and_only_when_a_model_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takers: tuple[str, ...], searches: int
) -> None:
    """Two models of one grid share a mask; a film's lungs do not depend on any grid."""
    looked: list[tuple[int, ...]] = []

    def counted(film: NDArray[np.float32]) -> NDArray[np.float32]:
        looked.append(film.shape)
        return lung_mask(film)

    monkeypatch.setattr(pipeline, "lung_mask", counted)
    models = [load(make_package(tmp_path), "cpu")]
    models += [load(make_package(tmp_path, id=name, inputs=LUNGS), "cpu") for name in takers]
    plan = Plan.of(models, 128)
    wider = Plan(plan.preprocesses, (*plan.lung_grids, (32, 48)) if takers else (), plan.preview_size)
    assert len(plan.lung_grids) == searches
    found = prepare(chest(stripe=0), "0" * 64, wider)
    assert [(256, 240)] * searches == looked
    assert [(1, *grid) for grid in wider.lung_grids] == [mask.shape for mask in found.lungs.values()]


def test_a_gated_model_asks_its_second_graph_about_some_films(tmp_path: Path) -> None:
    """Each film has its own answer, and the observer is told how many were asked about."""
    told: list[tuple[str, int, int | None]] = []

    def observe(model: ModelRef, films: int, _seconds: float, asked: int | None) -> None:
        told.append((model.id, films, asked))

    plain = load(make_package(tmp_path, id="plain"), "cpu")
    gated = load(make_package(tmp_path, id="gated", task="multiclass", gate=GATE | {"threshold": 0.42}), "cpu")
    films = prepared([plain, gated], *(chest(stripe=k) for k in (0, 1, 2, 3)))
    means = np.stack([stripes(one.inputs[gated.manifest.preprocess]) for one in films])
    first, second = (np.exp(10 * m) / np.exp(10 * m).sum(axis=1, keepdims=True) for m in (means, means[:, ::-1]))
    asked = first.max(axis=1) < 0.42
    assert 0 < asked.sum() < len(films)
    expected = np.where(asked[:, None], 0.25 * first + 0.75 * second, first)
    analyses = analyse([plain, gated], films, observe)
    np.testing.assert_allclose([probabilities(found, 1) for found in analyses], expected, atol=1e-4)
    assert [("plain", 4, None), ("gated", 4, int(asked.sum()))] == told


def test_a_gated_model_may_take_lungs(tmp_path: Path) -> None:
    """Both graphs get the same rows of both inputs."""
    always = load(make_package(tmp_path, task="multiclass", inputs=LUNGS, gate=GATE | {"threshold": 1}), "cpu")
    (one,) = prepared([always], chest(stripe=0))
    (analysis,) = analyse([always], [one])
    means = stripes(one.inputs[always.manifest.preprocess] * one.lungs[SIDE, SIDE])
    first, second = (np.exp(10 * m) / np.exp(10 * m).sum() for m in (means, means[::-1]))
    np.testing.assert_allclose(probabilities(analysis), 0.25 * first + 0.75 * second, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"PatientAge": "018M", "PatientSex": "f"}, Subject(age_years=1.5, sex="F")),
        ({"PatientBirthDate": "20000103", "StudyDate": "20260102", "PatientSex": "M"}, Subject(age_years=25, sex="M")),
        ({"PatientAge": "62", "PatientSex": "O"}, Subject()),
        ({"PatientSex": None}, Subject()),
    ],
)
def test_whom_a_film_shows(changes: dict[str, Any], expected: Subject) -> None:
    """As far as the header tells; what is malformed or other tells nothing."""
    assert expected == subject_of(film(**changes))


def phantom() -> bytes:
    """A film of the demonstration."""
    return samples("p", rows=256)["normal"]


def negative(data: bytes) -> bytes:
    """The same film under a header that says the opposite of its greys."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    return encoded(dataset)


def test_inverted_greys_are_shown_the_other_way_round_and_it_is_said(tmp_path: Path) -> None:
    """Models and picture see the film that the header should have named."""
    models = [load(make_package(tmp_path), "cpu")]
    straight, turned = prepared(models, phantom(), negative(phantom()))
    assert (False, True) == (straight.film.inverted, turned.film.inverted)
    assert any("inverted against the header" in note for note in turned.notes)
    np.testing.assert_allclose(straight.preview.astype(int), turned.preview.astype(int), atol=1)
    first, second = (probabilities(found) for found in analyse(models, [straight, turned]))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_a_site_may_refuse_inverted_greys_or_leave_them(tmp_path: Path) -> None:
    """Never silently: left alone, they are noted."""
    models = [load(make_package(tmp_path), "cpu")]
    with pytest.raises(Refused) as caught:
        prepare(negative(phantom()), "0" * 64, Plan.of(models, 128, Admission(inversion="refuse")))
    assert Reason.INVERTED == caught.value.reason
    left = prepare(negative(phantom()), "0" * 64, Plan.of(models, 128, Admission(inversion="note")))
    assert not left.film.inverted
    assert any("look inverted" in note for note in left.notes)


def check_of(tmp_path: Path) -> ContentCheck:
    """A content check that calls a film what its brightest stripe stands for: frontal, lateral, not_chest, turned."""
    classes = ("frontal", "lateral", "not_chest", "turned")
    return ContentCheck(load(make_package(tmp_path, classes=classes, task="multiclass", id="kinds", heat=None), "cpu"))


def striped_film(stripe: int, **changes: Any) -> bytes:
    """A grey film with one white stripe of four."""
    picture = np.full((256, 240), 1200, np.uint16)
    picture[:, stripe * 60 : (stripe + 1) * 60] = 4000
    dataset = film(**changes)
    pixels(dataset, picture, bits_stored=12)
    return encoded(dataset)


def test_pixels_have_the_last_word_on_what_a_film_is(tmp_path: Path) -> None:
    """Films of several studies are asked in one batch; each is admitted, or refused with its own reason."""
    models, check = [load(make_package(tmp_path), "cpu")], check_of(tmp_path)
    rules = Admission(inversion="note")
    plan = Plan.of(models, 128, rules, check)
    assert 1 == len(plan.preprocesses)  # the check shares the models' input
    films = [prepare(striped_film(k, ViewPosition="", PatientOrientation=""), "0" * 64, plan) for k in range(4)]
    said = screen(check, films, rules)
    assert films[0] is said[0]
    reasons = [each.reason for each in said if isinstance(each, Refused)]
    assert [Reason.LATERAL, Reason.NOT_CHEST_FILM, Reason.TURNED] == reasons
    assert tuple(films) == screen(None, films, rules)


def test_a_contradiction_may_be_noted_instead(tmp_path: Path) -> None:
    """The film is judged, and the reader is told."""
    models, check = [load(make_package(tmp_path), "cpu")], check_of(tmp_path)
    rules = Admission(content="note", inversion="note")
    plan = Plan.of(models, 128, rules, check)
    (found,) = screen(check, [prepare(striped_film(1), "0" * 64, plan)], rules)
    assert isinstance(found, Prepared)
    (analysis,) = analyse(models, [found])
    assert any("the pixels show a lateral film" in note for note in analysis.notes)


def test_a_content_check_is_no_classifier_of_findings(tmp_path: Path) -> None:
    """Among the models it would put "lateral" into a report."""
    kinds = load(make_package(tmp_path, classes=("frontal", "lateral"), task="multiclass", id="kinds"), "cpu")
    with pytest.raises(PackageError, match="content check"):
        Plan.of([kinds], 128)


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (("A", "B"), 2),
        (("A", " A ", ""), 1),
        (("", ""), 1),
        (("A^X", "A^Y"), 2),
        (("A^X", "A", "^Y"), 1),
        (("A^X", "A^Y", "A", "B"), 3),
    ],
)
def test_a_study_is_one_patients(tmp_path: Path, names: tuple[str, ...], patients: int) -> None:
    """Of two patients not one image is judged, for no header tells whose is which.

    Blank names nobody; a number means one patient only with its issuer, where both say who that is.
    """
    plan = Plan.of([load(make_package(tmp_path), "cpu")], 128)
    images = [film(PatientID=name.partition("^")[0], IssuerOfPatientID=name.partition("^")[2]) for name in names]
    found = [outcome(encoded(image), plan) for image in images]
    said = one_patient(found)
    assert len(names) == len(said)
    if patients == 1:
        assert tuple(found) == said
        return
    assert {Reason.PATIENT_MISMATCH} == {each.reason for each in said if isinstance(each, Refused)}
    assert all(f"{patients} different patients" in str(each) for each in said)


def test_an_image_that_is_not_judged_tells_of_a_patient_too(tmp_path: Path) -> None:
    """The lateral of another patient says that the study is misfiled; bytes without a header say nothing."""
    plan = Plan.of([load(make_package(tmp_path), "cpu")], 128)
    images = (encoded(film(PatientID="A")), encoded(film(PatientID="B", ViewPosition="LL")), b"garbage" * 100)
    said = one_patient([outcome(data, plan) for data in images])
    reasons = [Reason.PATIENT_MISMATCH] * 2 + [Reason.UNREADABLE]
    assert reasons == [each.reason for each in said if isinstance(each, Refused)]


def test_the_check_and_the_code_shape_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another content check, or code that reads films otherwise, gives results UIDs of their own; nothing else does."""
    check, settings = check_of(tmp_path), Settings()
    assert config_digest(settings, check) == config_digest(Settings(), check)
    found = {config_digest(settings, None), config_digest(settings, check)}
    monkeypatch.setattr(pipeline, "REVISION", pipeline.REVISION + 1)
    assert 3 == len({*found, config_digest(settings, check)})


def test_the_same_pixels_twice_in_a_study_are_noticed(tmp_path: Path) -> None:
    """A PACS may store a copy under another UID; another film of the same size is none."""
    films = prepared([load(make_package(tmp_path), "cpu")], chest(stripe=0), chest(stripe=0), chest(stripe=1))
    first, copy, other = distinct(films, Admission())
    assert (films[0], films[2]) == (first, other)
    assert isinstance(copy, Prepared)
    assert films[0].film.sop_uid in copy.notes[-1]
    refused = distinct(films, Admission(duplicates="refuse"))[1]
    assert isinstance(refused, Refused)
    assert Reason.DUPLICATE == refused.reason
