"""The Grayscale Softcopy Presentation State (PS3.3 A.33.1): contours, boxes and names over the film itself.

A viewer draws it on the original pixels and can switch each layer off. A film without a finding that was localised gets
one too, which says so: "nothing found" and "not analysed" must not look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from pydicom import Dataset

from cxrd.findings import Finding, ModelAnswer
from cxrd.imaging.evidence import contours, outline
from cxrd.report import greyscale
from cxrd.report.composite import begin, encode, in_series, name_content
from cxrd.report.facts import PRODUCT, RESEARCH_USE
from cxrd.report.products import YELLOW, Film, Imprint
from cxrd.report.remarks import conclusion

CONTOUR, BOX, TEXT = "AI_CONTOUR", "AI_BOX", "AI_TEXT"
LAYERS = {CONTOUR: "Evidence above half of its peak", BOX: "Box around the evidence", TEXT: "Names and probabilities"}

LINE_HEIGHT = 0.03
"""Height of a line of text, as a part of the film's."""

LETTER_WIDTH = 0.55
"""Width of a letter, as a part of its line's height; about, for no state knows its viewer's font."""

LEFT, RIGHT, BOTTOM = 0.02, 0.98, 0.99
"""Where the summary stands, as parts of the displayed area; it grows upwards."""

MAX_POINTS = 8190
"""Coordinate pairs of one graphic: Graphic Data is FL with a length of 16 bit (PS3.5 7.1.2)."""


class Label(NamedTuple):
    """Lines of text at a place: column and row of their top left corner, and their size, in pixels."""

    lines: Sequence[str]
    x: float
    y: float
    width: float
    height: float

    def hides(self, other: Label) -> bool:
        """Whether both lie over a common place."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height


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
        lines = _lines_of(_named(answer, finding), film)
        width, height = max(map(len, lines)) * LETTER_WIDTH * step, len(lines) * step
        for box in finding.boxes:
            x = max(min(box.left, columns - width), 0.0)
            label = Label(lines, x, max(box.top - height, 0.0), width, height)
            while any(label.hides(other) for other in made):
                label = label._replace(y=label.y + step)
            made.append(label._replace(y=min(label.y, rows - height)))
    return made


def _lines_of(text: str, film: Film, part: float = 1.0) -> list[str]:
    """Text in lines that fit into a part of the film's width."""
    rows, columns = film.found.film.rows, film.found.film.columns
    return wrap(text, max(int(part * columns / (LETTER_WIDTH * LINE_HEIGHT * rows)), 1))


def _named(answer: ModelAnswer, finding: Finding) -> str:
    return f"{finding.class_id.replace('_', ' ')} {finding.probability:.2f} ({answer.model.id})"


def _summary(film: Film, imprint: Imprint) -> list[str]:
    """What a reader must know wherever the film is zoomed to, in lines."""
    said = [RESEARCH_USE] if imprint.facts.research_use else []
    said.append(f"{PRODUCT} {imprint.facts.software_version}: " + _verdict(film))
    return [line for sentence in said for line in _lines_of(sentence, film, RIGHT - LEFT)]


def _verdict(film: Film) -> str:
    elsewhere = [_named(a, x) for a, x in film.found.present() if not x.boxes]
    return conclusion(film.found) + (f", without a place: {', '.join(elsewhere)}" if elsewhere else "")


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
    item = _text(label.lines, "PIXEL", (label.x, label.y), (columns, min(label.y + label.height, rows)))
    item.AnchorPointAnnotationUnits = "PIXEL"  # for viewers that hang a text on a point and ignore its box
    item.AnchorPoint = [label.x, label.y]
    item.AnchorPointVisibility = "N"
    return item


def _at_display(summary: Sequence[str]) -> Dataset:
    top = max(BOTTOM - LINE_HEIGHT * len(summary), 0.0)
    return _text(summary, "DISPLAY", (LEFT, top), (RIGHT, BOTTOM))


def _text(lines: Sequence[str], units: str, corner: tuple[float, float], opposite: tuple[float, float]) -> Dataset:
    item = Dataset()
    item.UnformattedTextValue = "\r\n".join(lines)[:1024]
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
