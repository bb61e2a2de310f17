"""The picture in a capture: heat where the model saw it, sides where they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrd.findings import Answer, ModelAnswer
from cxrd.imaging.overlay import TRANSPARENT_BELOW, blend
from cxrd.report.picture import HEIGHT, PANEL, STRONG, render
from support.analyses import CHARM, FACTS, NIH, OTHER, analysis, answer, finding, fourteen
from support.datasets import film

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)


def picture(*answers: ModelAnswer, rows: int = 512, columns: int = 448, **changes: Any) -> NDArray[np.uint8]:
    """A capture's picture."""
    found = analysis(film(rows=rows, columns=columns), answers=answers, **changes)
    return render(found.films[0], np.full((rows, columns), 90, np.uint8), FACTS, NOW)


def coloured(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that are not grey."""
    return np.asarray(np.ptp(image.astype(int), axis=2) > 25)


def test_heat_lies_where_the_grid_is_hot() -> None:
    """Cell (5, 1) of 7 x 7: low on the image-left."""
    image = picture(answer(CHARM, finding("Pneumonia", Answer.PRESENT, hot=(5, 1))))
    ys, xs = np.nonzero(coloured(image[:, : image.shape[1] - PANEL]))
    assert 5.5 / 7 * HEIGHT == pytest.approx(float(np.median(ys)), abs=HEIGHT / 14)
    assert 1.5 / 7 * (image.shape[1] - PANEL) == pytest.approx(float(np.median(xs)), abs=HEIGHT / 14)


def test_a_film_without_findings_is_shown_as_it_is() -> None:
    """No colour is laid over it."""
    image = picture(answer(CHARM, *fourteen()))
    side = image[60 : HEIGHT - 60, : image.shape[1] - PANEL]
    assert {90} == set(np.unique(side))


def corner(image: NDArray[np.uint8], *, left: bool) -> NDArray[np.uint8]:
    """Where a side marker is drawn."""
    width = image.shape[1] - PANEL
    x = slice(10, 40) if left else slice(width - 40, width - 10)
    return image[HEIGHT - 50 : HEIGHT - 5, x]


def test_sides_change_places_on_a_mirrored_film() -> None:
    """A wrong side on a picture harms somebody."""
    straight, mirrored = (picture(answer(CHARM, *fourteen()), mirrored=m) for m in (False, True))
    ink = {
        (name, left): int((corner(image, left=left) > 200).sum())
        for name, image in (("straight", straight), ("mirrored", mirrored))
        for left in (True, False)
    }
    # an R carries more ink than an L
    assert ink["straight", True] > ink["straight", False]
    assert ink["mirrored", True] < ink["mirrored", False]


def test_no_side_is_named_that_the_header_does_not_name() -> None:
    """A film without an orientation may be the wrong way round; the picture must not make a marker of a guess."""
    image = picture(answer(CHARM, *fourteen()), sided=False)
    for left in (True, False):
        assert {90} == set(np.unique(corner(image, left=left)))


@pytest.mark.parametrize("shape", [(300, 900), (900, 300), (2000, 2000), (200, 200)])
def test_every_shape_of_film_fits(shape: tuple[int, int]) -> None:
    """Height fixed, aspect kept, panel beside it."""
    rows, columns = shape
    image = picture(answer(CHARM, *fourteen()), rows=rows, columns=columns)
    assert (HEIGHT, round(columns * HEIGHT / rows) + PANEL, 3) == image.shape


def test_five_models_fit_on_one_panel() -> None:
    """With fourteen findings each: the foot stays readable."""
    many = [answer(m, *fourteen("Mass"), note="the header does not tell the view") for m in (CHARM, OTHER) * 3][:5]
    alone, crowded = picture(many[0]), picture(*many)
    foot = slice(HEIGHT - 100, HEIGHT)
    np.testing.assert_array_equal(alone[foot, -PANEL:], crowded[foot, -PANEL:])


def rows_in(image: NDArray[np.uint8]) -> int:
    """Present findings that the panel lists: bars in the strong colour."""
    bars = (image[:, -PANEL + 197 : -PANEL + 230] == STRONG).all(axis=(1, 2))
    return int((np.diff(bars.astype(int)) == 1).sum())


def test_what_is_present_is_never_left_out_for_what_is_not() -> None:
    """Seven present findings of one model are listed, however many absent ones four others have."""
    present = ("Mass", "Nodule", "Effusion", "Edema", "Pneumonia", "Pneumothorax", "Hernia")
    assert 7 == rows_in(picture(answer(CHARM, *fourteen(*present)), *[answer(OTHER, *fourteen())] * 4))
    assert 14 == rows_in(picture(answer(CHARM, *fourteen(*NIH))))


def test_what_does_not_fit_is_counted() -> None:
    """Where five models find everything, no model goes without a row and the foot stays free."""
    image = picture(*[answer(CHARM, *fourteen(*NIH))] * 5)
    assert 10 <= rows_in(image) < 5 * 14
    alone = picture(answer(CHARM, *fourteen(*NIH)))
    np.testing.assert_array_equal(alone[HEIGHT - 100 :, -PANEL:], image[HEIGHT - 100 :, -PANEL:])


def test_answers_differ_by_more_than_colour() -> None:
    """In black and white, present and absent are still told apart."""
    said = [picture(answer(CHARM, finding("Mass", a))) for a in (Answer.PRESENT, Answer.ABSENT, Answer.UNDETERMINED)]
    words = [(image[140:180, -130:].max(axis=2) > 100).tobytes() for image in said]
    assert 3 == len(set(words))


def foot(image: NDArray[np.uint8]) -> bytes:
    """The line of the panel that says what was found on the whole."""
    return bytes((image[HEIGHT - 150 : HEIGHT - 125, -PANEL:].max(axis=2) > 100).tobytes())


def test_nothing_found_named_determined_or_asked_look_different() -> None:
    """Healthy, abnormal by no name, without a threshold, and outside every model's intended use: four sentences."""
    healthy = answer(CHARM, *fourteen())
    unsure = answer(CHARM, *(finding(name, Answer.UNDETERMINED) for name in NIH))
    silent = answer(CHARM, note="age 4 is outside the model's intended use")
    nameless = answer(OTHER, finding("atelectasis", Answer.ABSENT), finding("other", Answer.PRESENT))
    assert 4 == len({foot(picture(said)) for said in (healthy, nameless, unsure, silent)})
    assert foot(picture(nameless)) == foot(picture(healthy, nameless))
    assert foot(picture(healthy)) == foot(picture(healthy, silent))


def test_weak_heat_stays_transparent() -> None:
    """Anatomy under weak evidence is not painted over."""
    grid = np.full((4, 4), TRANSPARENT_BELOW * 0.9, np.float32)
    assert not coloured(blend(np.full((64, 64), 120, np.uint8), grid)).any()


def test_only_the_strongest_finding_is_painted() -> None:
    """Two maps at once would hide the film; boxes show the others."""
    weak = finding("Mass", Answer.PRESENT, hot=(0, 6)).model_copy(update={"probability": 0.6})
    strong = finding("Pneumonia", Answer.PRESENT, hot=(5, 1))
    both, alone = (picture(answer(CHARM, *said)) for said in ((weak, strong), (strong,)))
    side = both.shape[1] - PANEL
    np.testing.assert_array_equal(both[:, :side], alone[:, :side])
