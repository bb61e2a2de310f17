"""The Grayscale Softcopy Presentation State (PS3.3 A.33.1): contours, boxes and names over the film itself.

A viewer draws it on the original pixels and can switch each layer off. A film without a finding that was localised gets
one too, which says so: "nothing found" and "not analysed" must not look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydicom import Dataset

from cxrd.findings import Finding, ModelAnswer
from cxrd.imaging.evidence import contours, outline
from cxrd.report import greyscale
from cxrd.report.composite import begin, encode, in_series, name_content
from cxrd.report.facts import PRODUCT, RESEARCH_USE
from cxrd.report.products import YELLOW, Film, Imprint

CONTOUR, BOX, TEXT = "AI_CONTOUR", "AI_BOX", "AI_TEXT"
LAYERS = {CONTOUR: "Evidence above half of its peak", BOX: "Box around the evidence", TEXT: "Names and probabilities"}

LINE_HEIGHT = 0.03
"""Height of a line of text, as a part of the film's."""

LETTER_WIDTH = 0.55
"""Width of a letter, as a part of its line's height; about, for no state knows its viewer's font."""

MAX_POINTS = 8190
"""Coordinate pairs of one graphic: Graphic Data is FL with a length of 16 bit (PS3.5 7.1.2)."""


class Label(NamedTuple):
    """A name at a place, column and row of its top left corner."""

    text: str
    x: float
    y: float


def build(film: Film, imprint: Imprint) -> bytes:
    """Build the presentation state of one film; Part 10 file."""
    found, source = film.found, film.source
    made = begin(imprint, film.header, [a.model for a in found.answers])
    name_content(made, imprint, "AI_FINDINGS", f"{PRODUCT} AI contours and boxes")
    made.PresentationCreationDate, made.PresentationCreationTime = made.ContentDate, made.ContentTime
    del made.ContentDate, made.ContentTime  # no attributes of this IOD
    made.ReferencedSeriesSequence = [in_series(film, "ReferencedImageSequence")]
    greyscale.state(made, source, inverted=found.film.inverted)
    made.DisplayedAreaSelectionSequence = [_whole_film(film)]
    localised = [(a, x) for a, x in found.present() if x.boxes]
    graphics = {
        CONTOUR: [_polyline(line) for _, x in localised if x.heat for line in _lines(x, film)],
        BOX: [_polyline(outline(b, found.film.rows, found.film.columns)) for _, x in localised for b in x.boxes],
    }
    texts = [_at_film(label, film) for label in _labels(localised, film)]
    made.GraphicAnnotationSequence = [
        *(_annotation(layer, film, graphics=drawn) for layer, drawn in graphics.items() if drawn),
        _annotation(TEXT, film, texts=[*texts, _at_display(_summary(film, imprint))]),
    ]
    made.GraphicLayerSequence = [_layer(a.GraphicLayer, n) for n, a in enumerate(made.GraphicAnnotationSequence, 1)]
    return encode(made)


def _lines(finding: Finding, film: Film) -> list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    ref = film.found.film
    lines = contours(finding.heat.grid(), ref.rows, ref.columns) if finding.heat else []
    return [line for line in lines if len(line) <= MAX_POINTS]


def _labels(localised: Sequence[tuple[ModelAnswer, Finding]], film: Film) -> list[Label]:
    """Each finding's name above its box, inside the film, none over another."""
    rows, columns = film.found.film.rows, film.found.film.columns
    step = LINE_HEIGHT * rows
    made: list[Label] = []
    for answer, finding in localised:
        text = _named(answer, finding)
        width = _width(text, step)
        for box in finding.boxes:
            x = min(max(box.left, 0.0), max(columns - width, columns * 0.5))  # never over to another box's side
            y = max(box.top - step, 0.0)
            while any(
                abs(y - other.y) < step and x < other.x + _width(other.text, step) and other.x < x + width
                for other in made
            ):
                y += step
            made.append(Label(text, x, min(y, rows - step)))
    return made


def _width(text: str, height: float) -> float:
    return LETTER_WIDTH * height * len(text)


def _named(answer: ModelAnswer, finding: Finding) -> str:
    return f"{finding.class_id.replace('_', ' ')} {finding.probability:.2f} ({answer.model.id})"


def _summary(film: Film, imprint: Imprint) -> str:
    """What a reader must know wherever the film is zoomed to."""
    said = [f"{PRODUCT} {imprint.facts.software_version}: " + _verdict(film)]
    return "\r\n".join([*said, RESEARCH_USE] if imprint.facts.research_use else said)


def _verdict(film: Film) -> str:
    present = film.found.present()
    if not any(a.findings for a in film.found.answers):
        return "no model answers for this film"
    if not present:
        return "no finding above its threshold"
    elsewhere = [_named(a, x) for a, x in present if not x.boxes]
    counted = f"{len(present)} finding{'s' if len(present) > 1 else ''} present"
    return counted + (f", without a place: {', '.join(elsewhere)}" if elsewhere else "")


def _polyline(points: np.ndarray[tuple[int, int], np.dtype[np.floating]]) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(v) for v in points.ravel()]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item


def _at_film(label: Label, film: Film) -> Dataset:
    rows, columns = film.found.film.rows, film.found.film.columns
    item = _text(label.text, "PIXEL", (label.x, label.y), (columns, min(label.y + LINE_HEIGHT * rows, rows)))
    item.AnchorPointAnnotationUnits = "PIXEL"  # for viewers that hang a text on a point and ignore its box
    item.AnchorPoint = [label.x, label.y]
    item.AnchorPointVisibility = "N"
    return item


def _at_display(summary: str) -> Dataset:
    return _text(summary, "DISPLAY", (0.02, 0.93), (0.98, 0.99))


def _text(text: str, units: str, corner: tuple[float, float], opposite: tuple[float, float]) -> Dataset:
    item = Dataset()
    item.UnformattedTextValue = text[:1024]
    item.BoundingBoxAnnotationUnits = units
    item.BoundingBoxTopLeftHandCorner = [float(v) for v in corner]
    item.BoundingBoxBottomRightHandCorner = [float(v) for v in opposite]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item


def _annotation(layer: str, film: Film, *, graphics: Sequence[Dataset] = (), texts: Sequence[Dataset] = ()) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = list(in_series(film, "ReferencedImageSequence").ReferencedImageSequence)
    item.GraphicLayer = layer
    if graphics:
        item.GraphicObjectSequence = list(graphics)
    if texts:
        item.TextObjectSequence = list(texts)
    return item


def _layer(name: str, order: int) -> Dataset:
    item = Dataset()
    item.GraphicLayer, item.GraphicLayerOrder = name, order
    item.GraphicLayerDescription = LAYERS[name]
    item.GraphicLayerRecommendedDisplayGrayscaleValue = 65535
    item.GraphicLayerRecommendedDisplayCIELabValue = list(YELLOW)
    return item


def _whole_film(film: Film) -> Dataset:
    """The displayed area: every pixel, counted from 1 (C.10.4)."""
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [film.found.film.columns, film.found.film.rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    greyscale.spacing(item, film.source)
    return item
