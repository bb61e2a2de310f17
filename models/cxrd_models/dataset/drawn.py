"""Pictures that are no chest film, made here: drawn from chance alone, or cut out of a frontal film.

They stand for what nobody collected: a test pattern, a page of text, a limb, a slice of a body, a part of a chest,
two films on one. Every function takes a random generator and gives an uint8 picture; equal seeds give equal pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
SIDE = 256
WORDS = ("Name", "Report", "12.04.", "kVp", "mAs", "exam", "scan", "page 2", "PACS", "no. 7", "3.1 mm", "ok", "L", "R")


def blank(random: Generator) -> Picture:
    """One grey, or a ramp, with hardly any noise: an exposure of nothing."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    slope = random.normal(0, 40, 2) * random.integers(0, 2)
    return _picture(random.uniform(5, 250) + slope[0] * (x - 0.5) + slope[1] * (y - 0.5), random, 3)


def noise(random: Generator) -> Picture:
    """White noise, or clouds whose coarseness varies."""
    field = random.normal(0, 1, (SIDE, SIDE))
    grain = random.uniform(0, 40)
    soft = cv2.GaussianBlur(field, (0, 0), grain) if grain > 1 else field
    return _picture(128 + soft / soft.std() * random.uniform(15, 70), random, 2)


def shapes(random: Generator) -> Picture:
    """Discs, boxes and bars on a ground: test patterns, collimators, markers."""
    canvas = np.full((SIDE, SIDE), random.uniform(0, 255))
    for _ in range(random.integers(1, 12)):
        a, b = (tuple(int(v) for v in random.integers(0, SIDE, 2)) for _ in range(2))
        grey = float(random.uniform(0, 255))
        match random.integers(0, 3):
            case 0:
                cv2.circle(canvas, a, int(random.integers(4, 110)), grey, -1)
            case 1:
                cv2.rectangle(canvas, a, b, grey, -1)
            case _:
                cv2.line(canvas, a, b, grey, int(random.integers(1, 30)))
    return _picture(cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.3, 4)), random, 4)


def page(random: Generator) -> Picture:
    """Lines of text, with a box or two: a scanned letter, or a screen."""
    dark = random.random() < 0.5
    canvas = np.full((SIDE, SIDE), 20 if dark else 240, np.uint8)
    ink, y, step = (230 if dark else 20), int(random.integers(10, 40)), int(random.integers(9, 26))
    for _ in range(random.integers(0, 3)):
        a, b = (tuple(int(v) for v in random.integers(0, SIDE, 2)) for _ in range(2))
        cv2.rectangle(canvas, a, b, int(random.integers(60, 200)), int(random.choice([-1, 1, 2])))
    while y < SIDE - 5:
        line = " ".join(random.choice(WORDS, random.integers(1, 7)))
        cv2.putText(canvas, line, (int(random.integers(4, 60)), y), cv2.FONT_HERSHEY_SIMPLEX, step / 40, ink, 1)
        y += step
    return _picture(canvas, random, 3)


def limb(random: Generator) -> Picture:
    """One to five long bones in soft tissue, at any angle: an arm, a leg, a hand."""
    tissue, bones = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    angle, count = random.uniform(0, np.pi), int(random.integers(1, 6))
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    thick = random.uniform(10, 26) / (1 + 0.4 * count)
    for number in range(count):
        middle = np.array([128, 128]) + across * (number - (count - 1) / 2) * thick * random.uniform(2.4, 3.4)
        joint = random.uniform(-60, 60)
        for start, end in ((-190, joint - 4), (joint + 4, 190)):
            a, b = (tuple(int(v) for v in middle + along * at) for at in (start, end))
            cv2.line(tissue, a, b, 1.0, int(thick * random.uniform(3, 4.5)))
            cv2.line(bones, a, b, 1.0, int(thick))
            cv2.line(bones, a, b, 0.55, max(1, int(thick * 0.5)))  # marrow
    soft, hard = (cv2.GaussianBlur(part, (0, 0), random.uniform(1, 4)) for part in (tissue, bones))
    return _picture(random.uniform(0, 30) + random.uniform(50, 110) * soft + random.uniform(60, 120) * hard, random, 5)


def slices(random: Generator) -> Picture:
    """An axial slice of a trunk or a head: a bright rim, organs or lungs inside, a vertebra, a table below."""
    canvas, wide = np.zeros((SIDE, SIDE)), random.uniform(75, 120)
    high, centre = wide * random.uniform(0.6, 1.15), (128 + random.integers(-8, 9), 124 + random.integers(-8, 9))
    _ellipse(canvas, centre, (wide, high), random.uniform(90, 150))
    _ellipse(canvas, centre, (wide * 0.93, high * 0.92), random.uniform(60, 120))
    lungs = random.random() < 0.6
    for side in (-1, 1):
        at = (centre[0] + side * wide * random.uniform(0.4, 0.5), centre[1] - high * random.uniform(0, 0.15))
        _ellipse(canvas, at, (wide * random.uniform(0.28, 0.4), high * random.uniform(0.45, 0.7)),
                 random.uniform(0, 40) if lungs else random.uniform(70, 160))  # fmt: skip
    _ellipse(canvas, (centre[0], centre[1] + high * 0.55), (wide * 0.16, high * 0.2), random.uniform(180, 255))
    for _ in range(random.integers(4, 25)):  # vessels, gut, ribs
        place = np.array(centre) + random.normal(0, 0.45, 2) * (wide, high)
        _ellipse(canvas, tuple(place), tuple(random.uniform(2, 12, 2)), random.uniform(30, 220))
    cv2.line(canvas, (10, 240), (246, 240), float(random.uniform(0, 160)), 3)
    return _picture(cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.6, 2)), random, 6)


DRAWN: Mapping[str, Callable[[Generator], Picture]] = MappingProxyType(
    {"blank": blank, "noise": noise, "shapes": shapes, "page": page, "limb": limb, "slice": slices}
)


def part(film: Picture, random: Generator) -> Picture:
    """A quarter of the film's width at most: a shoulder, some ribs, the stomach."""
    rows, columns = film.shape
    share = random.uniform(0.12, 0.3)
    h, w = max(16, round(rows * share)), max(16, round(columns * share * random.uniform(0.7, 1.4)))
    y, x = int(random.integers(0, rows - h + 1)), int(random.integers(0, max(1, columns - w + 1)))
    return np.ascontiguousarray(film[y : y + h, x : x + w])


def shuffled(film: Picture, random: Generator) -> Picture:
    """The film's tiles in another order: every texture of a chest and none of its shape."""
    count = int(random.integers(2, 5))
    square = _resized(film, SIDE)
    side = SIDE // count
    tiles = [square[i * side : (i + 1) * side, j * side : (j + 1) * side] for i in range(count) for j in range(count)]
    order = np.roll(np.arange(len(tiles)), 1) if count == 2 else random.permutation(len(tiles))
    rows = [np.hstack([tiles[k] for k in order[i * count : (i + 1) * count]]) for i in range(count)]
    return np.ascontiguousarray(np.vstack(rows))


def several(film: Picture, random: Generator) -> Picture:
    """The film several times on one sheet: a screen, a composite, a contact print."""
    small, count = _resized(film, SIDE // 2), int(random.integers(2, 4))
    row = np.hstack([small] * count)
    return np.ascontiguousarray(row if random.random() < 0.5 else np.vstack([row] * count))


def turned(film: Picture, random: Generator) -> Picture:
    """A quarter, a half or three quarters of a turn."""
    return np.ascontiguousarray(np.rot90(film, int(random.integers(1, 4))))


def inverted(film: Picture, _: Generator) -> Picture:
    """Black for white."""
    return np.asarray(255 - film, np.uint8)


OF_A_FILM: Mapping[str, Callable[[Picture, Generator], Picture]] = MappingProxyType(
    {"turned": turned, "inverted": inverted, "part": part, "shuffled": shuffled, "several": several}
)


def crop(picture: Picture, random: Generator) -> Picture:
    """Most of a picture, perhaps mirrored."""
    rows, columns = picture.shape
    share = random.uniform(0.45, 1)
    h, w = round(rows * share), round(columns * share)
    y, x = int(random.integers(0, rows - h + 1)), int(random.integers(0, columns - w + 1))
    cut = picture[y : y + h, x : x + w]
    return np.ascontiguousarray(cut[:, ::-1] if random.random() < 0.5 else cut)


def _resized(picture: Picture, side: int) -> Picture:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _ellipse(canvas: NDArray[np.float64], centre: Sequence[Any], radii: Sequence[Any], grey: float) -> None:
    cv2.ellipse(canvas, (int(centre[0]), int(centre[1])), (int(radii[0]), int(radii[1])), 0, 0, 360, float(grey), -1)


def _picture(canvas: NDArray[Any], random: Generator, grain: float) -> Picture:
    return np.asarray(np.clip(canvas + random.normal(0, grain, canvas.shape), 0, 255), np.uint8)
