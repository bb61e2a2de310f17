"""The picture of a Secondary Capture: the film with its heat on the left, what was answered on the right.

Nothing that names a patient is drawn. Present, absent and undetermined differ by word and mark, not by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from textwrap import wrap

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxrd.findings import Answer, ClassRole, FilmAnalysis, Finding, ModelAnswer
from cxrd.imaging.overlay import blend, colours, draw_boxes
from cxrd.report.facts import PRODUCT, RESEARCH_USE, ReportFacts
from cxrd.report.remarks import conclusion

HEIGHT = 1024
PANEL = 460
MARGIN = 24
NAME_LENGTH = 20
HEAD, ROW, LINE = 62, 27, 20
"""Heights in the panel: a model's title with what may be left out, one finding, one line of small text."""
BLACK, PANEL_GREY, RULE = (0, 0, 0), (24, 27, 31), (70, 76, 84)
WHITE, QUIET, STRONG, WARN = (240, 243, 246), (158, 167, 178), (255, 214, 64), (255, 170, 110)
MARKS = {Answer.PRESENT: "present", Answer.ABSENT: "absent", Answer.UNDETERMINED: "not determined"}


def render(film: FilmAnalysis, preview: NDArray[np.uint8], facts: ReportFacts, now: datetime) -> NDArray[np.uint8]:
    """Draw one capture.

    Parameters
    ----------
    film : FilmAnalysis
        What was found on the film.
    preview : uint8 (h, w)
        Display-ready film in the source's orientation.
    now : datetime
        Time of the analysis.

    Returns
    -------
    uint8 (1024, w', 3)
        RGB.
    """
    height, width = preview.shape
    size = (round(width * HEIGHT / height), HEIGHT)
    large = cv2.resize(preview, size, interpolation=cv2.INTER_AREA if height > HEIGHT else cv2.INTER_CUBIC)
    shown, painted = _shown(film), _painted(film)
    left = blend(np.asarray(large, np.uint8), painted.heat.grid() if painted and painted.heat else None)
    draw_boxes(left, [b for x in shown for b in x.boxes], rows=film.film.rows, columns=film.film.columns)
    canvas = Image.new("RGB", (size[0] + PANEL, HEIGHT), PANEL_GREY)
    canvas.paste(Image.fromarray(left), (0, 0))
    draw = ImageDraw.Draw(canvas)
    if film.film.sided:
        _sides(draw, size[0], mirrored=film.film.mirrored)
    _labels(draw, film, shown, size[0])
    _panel(draw, canvas, film, facts, now, size[0])
    return np.asarray(canvas, np.uint8)


def _shown(film: FilmAnalysis) -> list[Finding]:
    """Present findings of every model."""
    said = [x for answer in film.answers for x in answer.findings]
    return [x for x in said if x.answer is Answer.PRESENT and x.role is ClassRole.FINDING]


def _painted(film: FilmAnalysis) -> Finding | None:
    """The one finding whose heat is laid over the film: several at once would hide it."""
    return max((x for x in _shown(film) if x.heat), key=lambda x: x.probability, default=None)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _sides(draw: ImageDraw.ImageDraw, width: int, *, mirrored: bool) -> None:
    r"""Side markers: image-left is the patient's right, unless the film is mirrored (``R\F``)."""
    for text, x in (("L" if mirrored else "R", 14), ("R" if mirrored else "L", width - 36)):
        draw.text((x, HEIGHT - 44), text, font=_font(30), fill=WHITE, stroke_width=2, stroke_fill=BLACK)


def _labels(draw: ImageDraw.ImageDraw, film: FilmAnalysis, shown: Sequence[Finding], width: int) -> None:
    """The name of a finding at its box; names of boxes that start alike stand below each other."""
    taken: list[tuple[float, float]] = []
    for finding in shown:
        for box in finding.boxes:
            x = min(box.left / film.film.columns * width + 4, width - 150)
            y = max(2.0, box.top / film.film.rows * HEIGHT - 24)
            while any(abs(x - tx) < 150 and abs(y - ty) < 22 for tx, ty in taken):
                y += 22
            taken.append((x, y))
            draw.text((x, y), _name(finding), font=_font(18), fill=STRONG, stroke_width=2, stroke_fill=BLACK)


def _panel(
    draw: ImageDraw.ImageDraw, canvas: Image.Image, film: FilmAnalysis, facts: ReportFacts, now: datetime, x0: int
) -> None:
    x, y = x0 + MARGIN, MARGIN
    draw.text((x, y), f"{PRODUCT} AI result", font=_font(28), fill=WHITE)
    y += 42
    if facts.research_use:
        for line in RESEARCH_USE.split(". "):
            draw.text((x, y), line.rstrip(".") + ".", font=_font(17), fill=WARN)
            y += 23
    y += 10
    for answer, rows in zip(film.answers, _listed(film.answers, HEIGHT - 190 - y), strict=True):
        y = _model(draw, answer, x, y, rows)
    _foot(draw, canvas, film, facts, now, x0)


def _listed(answers: Sequence[ModelAnswer], room: int) -> list[int]:
    """Findings of each model that are listed: all that are present first, then others in turn while there is room."""
    heads = sum(HEAD + LINE * len(_noted(answer)) for answer in answers)
    left, rows = max(len(answers), (room - heads) // ROW), [0] * len(answers)
    present = [sum(f.answer is Answer.PRESENT for f in answer.findings) for answer in answers]
    for wanted in (present, [len(answer.findings) for answer in answers]):
        while left and any(have < want for have, want in zip(rows, wanted, strict=True)):
            for index, want in enumerate(wanted):
                if left and rows[index] < want:
                    rows[index], left = rows[index] + 1, left - 1
    return rows


def _noted(answer: ModelAnswer) -> list[str]:
    """A model's note in lines of the panel's width."""
    return wrap(answer.note, 54, max_lines=2, placeholder=" …")


def _model(draw: ImageDraw.ImageDraw, answer: ModelAnswer, x: int, y: int, rows: int) -> int:
    draw.line((x, y, x + PANEL - 2 * MARGIN, y), fill=RULE)
    title = f"{answer.model.id} {answer.model.version}"
    draw.text((x, y + 7), title, font=_font(19), fill=WHITE)
    draw.text((x + PANEL - 2 * MARGIN, y + 9), answer.model.digest[:8], font=_font(15), fill=QUIET, anchor="ra")
    y += 34
    for line in _noted(answer):
        draw.text((x, y), line, font=_font(14), fill=WARN)
        y += LINE
    present_first = sorted(answer.findings, key=lambda f: (f.answer is not Answer.PRESENT, -f.probability))
    for finding in present_first[:rows]:
        _finding(draw, finding, x, y)
        y += ROW
    left_out = present_first[rows:]
    if left_out:
        present = sum(f.answer is Answer.PRESENT for f in left_out)
        words = f"and {len(left_out)} more, {present or 'none'} of them present"
        draw.text((x, y), words, font=_font(14), fill=STRONG if present else QUIET)
        y += LINE
    return y + 8


def _finding(draw: ImageDraw.ImageDraw, finding: Finding, x: int, y: int) -> None:
    """Name, bar with threshold tick, probability, answer."""
    present = finding.answer is Answer.PRESENT
    ink = STRONG if present and finding.role is ClassRole.FINDING else WHITE if present else QUIET
    draw.text((x, y), _name(finding), font=_font(16), fill=ink)
    left, width = x + 170, 84
    draw.rectangle((left, y + 6, left + width, y + 15), outline=RULE)
    draw.rectangle((left, y + 6, left + round(width * finding.probability), y + 15), fill=ink)
    if finding.threshold is not None:
        tick = left + round(width * finding.threshold)
        draw.line((tick, y + 2, tick, y + 19), fill=WHITE, width=2)
    draw.text((left + width + 10, y), f"{finding.probability:.2f}", font=_font(16), fill=ink)
    draw.text((x + PANEL - 2 * MARGIN, y + 1), MARKS[finding.answer], font=_font(14), fill=ink, anchor="ra")


def _foot(
    draw: ImageDraw.ImageDraw, canvas: Image.Image, film: FilmAnalysis, facts: ReportFacts, now: datetime, x0: int
) -> None:
    x, y = x0 + MARGIN, HEIGHT - 150
    painted = _painted(film)
    if painted:
        scale = np.repeat(colours()[np.newaxis], 12, axis=0)
        canvas.paste(Image.fromarray(scale), (x, y))
        draw.text((x, y - 24), f"Model evidence for {_name(painted)}", font=_font(15), fill=WHITE)
        draw.text((x, y + 16), "weak", font=_font(13), fill=QUIET)
        draw.text((x + 256, y + 16), "strong", font=_font(13), fill=QUIET, anchor="ra")
    elif _shown(film):
        draw.text((x, y), "No localisation for the findings above.", font=_font(15), fill=QUIET)
    else:
        draw.text((x, y), f"{conclusion(film).capitalize()}.", font=_font(17), fill=WHITE)
    lines = (
        "White tick: threshold. Evidence is no outline of disease.",
        f"{now.strftime('%Y-%m-%d %H:%M %z')}",
        f"{PRODUCT} {facts.software_version}, {facts.station_name}",
        "" if film.film.sided else "The header does not say which side is which.",
    )
    for index, line in enumerate(lines):
        draw.text((x, y + 52 + 22 * index), line, font=_font(14), fill=QUIET)


def _name(finding: Finding) -> str:
    """A class as a person writes it: its code's meaning where there is room, as reports say it, else its id."""
    meaning, plain = finding.code.meaning, finding.class_id.replace("_", " ")
    fits = finding.role is ClassRole.FINDING and len(meaning) <= NAME_LENGTH
    return meaning if fits else plain[:1].upper() + plain[1:NAME_LENGTH]
