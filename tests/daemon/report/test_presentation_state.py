"""Contours, boxes and names over the film itself, shown as the film is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Box, ModelAnswer
from cxrd.imaging.decode import decode
from cxrd.imaging.header import read_header
from cxrd.report.gsps import BOX, CONTOUR, LETTER_WIDTH, LINE_HEIGHT, TEXT
from support.analyses import CHARM, FACTS, NIH, OTHER, analysis, answer, finding, fourteen, previews
from support.datasets import encoded, film
from support.validators import complaints

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
KINDS = frozenset({ArtefactKind.GSPS})


def made(source: Dataset, *answers: ModelAnswer, **changes: Any) -> tuple[Artefact, Dataset]:
    """The presentation state of a film, as bytes and as a viewer reads it."""
    header = read_header(encoded(source))
    found = analysis(header, answers=answers or None, **changes)
    (artefact,) = report.build(
        found, {header.SOPInstanceUID: header}, previews(header), sends=[KINDS], facts=FACTS, now=NOW
    )
    return artefact, dcmread(BytesIO(artefact.data))


def drawn(state: Dataset, layer: str) -> list[np.ndarray[Any, Any]]:
    """Polylines of a layer, as (n, 2) columns and rows."""
    items = [a for a in state.GraphicAnnotationSequence if a.GraphicLayer == layer]
    return [np.reshape(g.GraphicData, (-1, 2)) for a in items for g in a.get("GraphicObjectSequence", [])]


def texts(state: Dataset) -> list[Dataset]:
    """Every text object of the film, the summary last."""
    items = [a for a in state.GraphicAnnotationSequence if a.GraphicLayer == TEXT]
    return [t for a in items for t in a.TextObjectSequence]


def written(state: Dataset) -> list[str]:
    """Every text on the film, its lines joined."""
    return [t.UnformattedTextValue.replace("\r\n", " ") for t in texts(state)]


def test_contours_surround_the_heat_and_boxes_are_the_models() -> None:
    """The hot cell of the analysis is (5, 1) of 7 x 7."""
    source = film()
    _, state = made(source)
    (contour,), (box,) = drawn(state, CONTOUR), drawn(state, BOX)
    at = (1.5 / 7 * source.Columns, 5.5 / 7 * source.Rows)
    assert cv2.pointPolygonTest(np.asarray(contour, np.float32), at, measureDist=False) > 0
    corners = [source.Columns * 0.1, source.Rows * 0.5, source.Columns * 0.4, source.Rows * 0.9]
    np.testing.assert_allclose(corners, [*box.min(axis=0), *box.max(axis=0)], atol=0.01)


def test_names_and_probabilities_are_read_back() -> None:
    """With the model that says so, and what it may be used for."""
    assert ["Pneumonia 0.81 (charm)"] == written(made(film())[1])[:-1]
    assert "Research use only" in written(made(film())[1])[-1]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(CHARM, *fourteen()), "no finding above its threshold"),
        (answer(OTHER, finding("none", Answer.PRESENT)), "no finding above its threshold"),
        (answer(OTHER, finding("other", Answer.PRESENT)), "abnormal, but no finding is named"),
        (answer(CHARM, finding("Mass", Answer.PRESENT)), "1 finding present, without a place: Mass 0.81 (charm)"),
        (answer(CHARM, note="age 4 is outside the model's intended use"), "no model answers for this film"),
        (answer(CHARM, *(finding(n, Answer.UNDETERMINED) for n in NIH)), "no finding could be determined"),
    ],
)
def test_a_film_without_a_localised_finding_says_so(said: ModelAnswer, expected: str, tmp_path: Path) -> None:
    """Nothing found, found nowhere in particular and not analysed are three things; none draws a line."""
    artefact, state = made(film(), said)
    (summary,) = written(state)
    assert expected in summary
    assert [] == drawn(state, CONTOUR) + drawn(state, BOX) == complaints(artefact, tmp_path)


def test_a_long_name_on_a_narrow_film_leaves_the_next_one_legible() -> None:
    """Two boxes side by side: the names go below each other where they would not fit beside each other."""
    source = film(rows=512, columns=240)
    left, right = (
        finding(n, Answer.PRESENT, boxes=(Box(left=x, top=300, right=x + 90, bottom=400),), hot=(5, 1))
        for n, x in (("Pleural_Thickening", 20), ("Atelectasis", 130))
    )
    _, state = made(source, answer(CHARM, left, right))
    (x0, y0), (x1, y1) = (t.BoundingBoxTopLeftHandCorner for t in texts(state)[:2])
    assert y0 != y1
    assert 0 <= min(x0, x1)


@pytest.mark.parametrize(("rows", "columns"), [(1024, 512), (1024, 400), (512, 512), (400, 1024)])
def test_no_line_runs_past_the_edge(rows: int, columns: int) -> None:
    """Tall films are narrow: what does not fit into a line stands in several, all of them on the film."""
    boxes = (Box(left=columns * 0.7, top=rows * 0.9, right=columns * 0.95, bottom=rows * 0.97),)
    placed = [finding(n, Answer.PRESENT, boxes=boxes, hot=(5, 5)) for n in ("Pleural_Thickening", "Emphysema")]
    elsewhere = [finding(n, Answer.PRESENT) for n in NIH if n not in {"Pleural_Thickening", "Emphysema"}]
    _, state = made(film(rows=rows, columns=columns), answer(CHARM, *placed, *elsewhere))
    *labels, summary = texts(state)
    letter = LETTER_WIDTH * LINE_HEIGHT * rows
    for text in labels:
        left, top = text.BoundingBoxTopLeftHandCorner
        right, bottom = text.BoundingBoxBottomRightHandCorner
        lines = text.UnformattedTextValue.split("\r\n")
        assert 0 <= left <= right <= columns
        assert 0 <= top <= bottom <= rows
        assert left + letter * max(map(len, lines)) <= columns + 0.01  # FL has 24 bits
        assert bottom - top >= 0.99 * LINE_HEIGHT * rows * len(lines)
    (left, top), (right, bottom) = summary.BoundingBoxTopLeftHandCorner, summary.BoundingBoxBottomRightHandCorner
    lines = summary.UnformattedTextValue.split("\r\n")
    assert letter * max(map(len, lines)) <= (right - left) * columns
    assert 0 <= top <= bottom - 0.99 * LINE_HEIGHT * len(lines)
    assert all(
        f"{n.replace('_', ' ')} 0.81 (charm)" in " ".join(lines) for n in NIH if n != "Emphysema" and "_" not in n
    )


def test_names_of_boxes_in_one_place_do_not_hide_each_other() -> None:
    """Five findings at once are five lines, all on the film."""
    source = film()
    boxes = analysis(read_header(encoded(source))).films[0].answers[0].findings[12].boxes
    assert boxes
    five = ("Mass", "Nodule", "Effusion", "Edema", "Pneumonia")
    _, state = made(source, answer(CHARM, *(finding(n, Answer.PRESENT, boxes=boxes, hot=(5, 1)) for n in five)))
    tops = sorted(t.BoundingBoxTopLeftHandCorner[1] for t in texts(state)[:-1])
    assert 5 == len(tops)
    assert min(np.diff(tops)) > 0.02 * source.Rows
    assert all(0 <= top <= source.Rows for top in tops)


SHOWN: dict[str, dict[str, Any]] = {
    "plain": {},
    "inverse by photometric": {"PhotometricInterpretation": "MONOCHROME1"},
    "inverse by shape": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "window": {"WindowCenter": "1500", "WindowWidth": "2000"},
    "several windows": {"WindowCenter": ["1500", "900"], "WindowWidth": ["2000", "800"]},
    "exact": {"WindowCenter": "1500", "WindowWidth": "2000", "VOILUTFunction": "LINEAR_EXACT"},
    "rescaled": {"RescaleSlope": "2", "RescaleIntercept": "-500", "WindowCenter": "2500", "WindowWidth": "4000"},
    "half a pair": {"WindowCenter": "1500", "RescaleSlope": "1"},
    "no width": {"WindowCenter": "1500", "WindowWidth": "0"},
    "spacing": {"PixelSpacing": ["0.15", "0.15"]},
    "spacing of nothing": {"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.2", "0.2"]},
    "long numbers": {"WindowCenter": "1500.123456789", "WindowWidth": "2000.987654321"},
}


def table(first: int, entries: int, bits: int) -> Dataset:
    """A falling VOI LUT: one that no window could replace."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [entries % 65536, first, bits])  # 0 means 65536
    falling = np.linspace(2**bits - 1, 0, entries).astype("<u2")
    item.add_new("LUTData", "OW", falling.tobytes())
    return item


@pytest.mark.parametrize("name", [*SHOWN, "voi table", "large table"])
def test_the_state_shows_the_film_as_it_was_shown(name: str, tmp_path: Path) -> None:
    """A presentation state replaces the image's own greyscale: applied to the same pixels it gives the same film."""
    tables = {"voi table": table(400, 3000, 12), "large table": table(0, 65536, 16)}
    changes = {"VOILUTSequence": [tables[name]]} if name in tables else SHOWN[name]
    source = film(**changes)
    artefact, state = made(source)
    assert [] == complaints(artefact, tmp_path)
    shown = film(PixelData=source.PixelData, PhotometricInterpretation=source.PhotometricInterpretation)
    for keyword in ("RescaleSlope", "RescaleIntercept", "PresentationLUTShape"):
        if keyword in state:
            setattr(shown, keyword, state[keyword].value)
    for item in state.get("SoftcopyVOILUTSequence", []):
        shown.update(item)
    np.testing.assert_allclose(decode(encoded(source)).pixels, decode(encoded(shown)).pixels, atol=1e-5)


def test_only_whole_pairs_are_stated() -> None:
    """A centre without a width, or a slope without an intercept, would make the state invalid."""
    assert "SoftcopyVOILUTSequence" not in made(film(**SHOWN["half a pair"]))[1]
    assert "RescaleSlope" not in made(film(**SHOWN["half a pair"]))[1]
    assert "1500" == str(made(film(**SHOWN["several windows"]))[1].SoftcopyVOILUTSequence[0].WindowCenter)
    size = made(film(**SHOWN["spacing of nothing"]))[1].DisplayedAreaSelectionSequence[0].PresentationPixelSpacing
    assert [0.2, 0.2] == list(size)


def test_a_table_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """As the film itself is shown without it."""
    short = table(0, 100, 12)
    short.LUTDescriptor = [4000, 0, 12]
    artefact, state = made(film(VOILUTSequence=[short]))
    assert "SoftcopyVOILUTSequence" not in state
    assert [] == complaints(artefact, tmp_path)
