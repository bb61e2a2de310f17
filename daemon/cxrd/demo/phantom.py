"""A synthetic chest radiograph: thicknesses along each ray, summed, attenuated, and shown as a film.

Coordinates: x runs from -1 (image-left, the patient's right) to 1, y from 0 (top) to 1 (bottom). Every organ adds or
removes thickness; air removes it, so lungs are dark because rays cross less tissue there. Deterministic by seed.
It is drawn to be recognised, not to be diagnosed: no model is ever trained or judged on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Points = NDArray[np.float32]

RIBS = 10
WORKING_WIDTH = 900
"""Pixels across while drawing; the film is enlarged afterwards, before its noise is added."""


@dataclass(frozen=True, slots=True)
class Opacity:
    """A soft patch of denser lung.

    Attributes
    ----------
    x, y : float
        Centre, in the phantom's coordinates.
    radius : float
        Half width, of the half image width.
    density : float
        Added thickness at the centre; 1 is about the heart's.
    """

    x: float
    y: float
    radius: float
    density: float = 0.9


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One synthetic patient.

    Attributes
    ----------
    heart : float
        Width of the heart over the width of the chest; above 0.5 is enlarged.
    effusion : float
        Height of fluid over the left diaphragm (image-right), 0 for none, of the lung's height.
    """

    heart: float = 0.45
    effusion: float = 0.0
    opacities: tuple[Opacity, ...] = field(default=())


def film(anatomy: Anatomy, *, rows: int = 2048, columns: int = 1792, seed: int = 0) -> NDArray[np.uint16]:
    """Draw one film.

    Returns
    -------
    uint16 (rows, columns)
        12 bit, bone white (MONOCHROME2).
    """
    rng = np.random.default_rng(seed)
    width = min(WORKING_WIDTH, columns)
    height = round(width * rows / columns)
    thickness = _Canvas(height, width).patient(anatomy, rng)
    large = cv2.resize(thickness, (columns, rows), interpolation=cv2.INTER_CUBIC)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 0.8)
    exposed = large + noise * (0.010 + 0.012 * np.clip(large, 0, 2))
    shown = 1 / (1 + np.exp(-2.7 * (exposed - 0.90)))  # the S-shaped response of film
    return np.asarray(np.clip(60 + shown * 3900, 0, 4095), np.uint16)


class _Canvas:
    """Thickness maps of one size."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        xs, ys = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32)
        self.x, self.y = np.meshgrid(xs, ys)

    def patient(self, anatomy: Anatomy, rng: np.random.Generator) -> Map:
        """Sum of everything a ray crosses."""
        heart = self.heart(anatomy.heart)
        right, left = (self.lung(side) * (1 - 0.62 * np.clip(heart * 1.6, 0, 1)) for side in (-1, 1))
        air = right + left
        total = self.body() - 0.70 * air
        total += self.mediastinum() + 0.34 * heart * _between(self.y, 0.2, 0.735, 0.08)
        total += self.spine() + self.ribs() + self.clavicles() + self.scapulae()
        total += self.vessels(rng) * np.clip((air - 0.25) * 2, 0, 1)
        total -= self.stomach_bubble()
        for opacity in anatomy.opacities:
            total += self.patch(opacity, rng) * np.clip(air * 3, 0, 1)
        if anatomy.effusion > 0:
            total += self.fluid(anatomy.effusion) * 0.80 * left
        return np.asarray(cv2.GaussianBlur(total, (0, 0), self.width / 900), np.float32)

    def body(self) -> Map:
        """Torso, neck and shoulders: an elliptic cross-section whose half width changes with height."""
        half = np.interp(
            self.y[:, 0], [0, 0.05, 0.10, 0.17, 0.26, 0.45, 1.0], [0.30, 0.34, 0.62, 1.02, 1.12, 1.0, 1.04]
        )
        u = np.clip(np.abs(self.x) / half[:, None], 0, 1)
        depth = np.interp(self.y[:, 0], [0, 0.1, 0.3, 0.7, 1.0], [0.85, 0.95, 1.15, 1.3, 1.55])[:, None]
        return np.asarray(depth * np.power(1 - u**2.6, 0.55), np.float32)

    def lung(self, side: int) -> Map:
        """Air of one lung, 0 to about 1: deep in the middle, thin at the border."""
        dome = 0.70 if side < 0 else 0.735
        base = [
            (0.20, dome - 0.005),
            (0.40, dome - 0.025),
            (0.58, dome + 0.005),
            (0.72, dome + 0.06),
            (0.795, dome + 0.135),
        ]
        wall = [(0.82, 0.74), (0.815, 0.60), (0.77, 0.44), (0.68, 0.30), (0.55, 0.185), (0.42, 0.115), (0.30, 0.085)]
        inner = [(0.20, 0.10), (0.155, 0.17), (0.165, 0.30), (0.15, 0.42), (0.15, 0.55), (0.17, 0.66)]
        mask = self.filled(_smooth([(side * px, py) for px, py in (*base, *wall, *inner)]))
        distance = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / self.width
        depth = np.sqrt(np.clip(1 - (1 - np.clip(distance / 0.10, 0, 1)) ** 2, 0, 1))
        return np.asarray(cv2.GaussianBlur(depth.astype(np.float32), (0, 0), self.width / 350), np.float32)

    def heart(self, ratio: float) -> Map:
        """Ventricle to the image-right, atrium to the image-left; ``ratio`` of the inner chest's width of 1.6."""
        reach = ratio * 1.62
        left = self.ellipsoid(0.02 + reach * 0.27, 0.635, reach * 0.50, 0.118 + 0.05 * (ratio - 0.45), -33)
        outflow = self.ellipsoid(0.07 + reach * 0.05, 0.515, 0.04 + reach * 0.15, 0.125, -12)
        right = self.ellipsoid(-0.05 - 0.06 * reach, 0.60, 0.05 + reach * 0.20, 0.120, 8)
        chambers = np.power(np.maximum.reduce([left, 0.85 * outflow, 0.85 * right]), 0.7).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(chambers, (0, 0), self.width / 60), np.float32)

    def mediastinum(self) -> Map:
        """Great vessels, aortic knob and arch, trachea."""
        column = np.exp(-np.power(np.abs(self.x) / 0.135, 3)) * _between(self.y, 0.10, 0.80, 0.10)
        knob = self.ellipsoid(0.125, 0.335, 0.095, 0.048, 0)
        descending = self.ellipsoid(0.10, 0.52, 0.075, 0.22, 0)
        cava = self.ellipsoid(-0.12, 0.34, 0.06, 0.13, 0)
        trachea = np.exp(-np.power(self.x / 0.05, 4)) * _between(self.y, -0.1, 0.37, 0.02)
        carina = self.tubes([[(0, 0.365), (-0.09, 0.42)], [(0, 0.365), (0.11, 0.425)]], 0.018)
        return np.asarray(
            0.34 * column + 0.20 * knob + 0.16 * descending + 0.18 * cava - 0.20 * trachea - 0.10 * carina, np.float32
        )

    def spine(self) -> Map:
        """Vertebral bodies with their discs and pedicles."""
        row = np.cos(2 * np.pi * (self.y - 0.02) / 0.062)
        bodies = np.exp(-np.power(np.abs(self.x) / 0.083, 6)) * (0.26 + 0.07 * np.tanh(3 * row))
        pedicles = np.zeros_like(self.x)
        for level in np.arange(0.035, 1.0, 0.062):
            for side in (-1, 1):
                pedicles += np.exp(-(((self.x - side * 0.052) / 0.014) ** 2 + ((self.y - level) / 0.010) ** 2))
        return np.asarray(bodies + 0.10 * pedicles, np.float32)

    def ribs(self) -> Map:
        """Ten pairs: posterior parts almost level, anterior parts fainter and falling towards the middle."""
        total = np.zeros_like(self.x)
        for number in range(RIBS):
            top = 0.085 + 0.066 * number
            reach = float(np.interp(number, [0, 1, 3, 6, 9], [0.40, 0.56, 0.74, 0.87, 0.88]))
            fall = 0.045 + 0.012 * number
            width = 0.0165 if number else 0.014
            for side in (-1, 1):
                back = [(0.07, top), (0.20, top - 0.022), (reach * 0.62, top + fall * 0.15),
                        (reach * 0.93, top + fall * 0.9), (reach, top + fall * 1.7)]  # fmt: skip
                front = [(reach, top + fall * 1.7), (reach * 0.95, top + fall * 2.4), (reach * 0.75, top + fall * 3.1),
                         (reach * 0.50, top + fall * 3.5)]  # fmt: skip
                total += 0.155 * self.shell(_smooth([(side * px, py) for px, py in back], closed=False), width)
                if number < 7:
                    total += 0.075 * self.shell(
                        _smooth([(side * px, py) for px, py in front], closed=False), width * 1.15
                    )
        return np.asarray(total, np.float32)

    def clavicles(self) -> Map:
        """Two S-curves from the sternum up to the shoulders."""
        curve = [(0.08, 0.195), (0.22, 0.175), (0.42, 0.135), (0.60, 0.125), (0.80, 0.10)]
        both = [self.shell(_smooth([(s * px, py) for px, py in curve], closed=False), 0.021) for s in (-1, 1)]
        return np.asarray(0.24 * (both[0] + both[1]), np.float32)

    def scapulae(self) -> Map:
        """Inner border and body of the shoulder blades, and the heads of the humeri."""
        total = np.zeros_like(self.x)
        for side in (-1, 1):
            blade = [(0.74, 0.14), (0.93, 0.18), (0.96, 0.30), (0.80, 0.46), (0.735, 0.36), (0.72, 0.24)]
            total += 0.09 * self.filled(_smooth([(side * px, py) for px, py in blade]))
            total += 0.34 * self.ellipsoid(side * 1.03, 0.15, 0.12, 0.062, 0)
        return np.asarray(cv2.GaussianBlur(total, (0, 0), self.width / 110), np.float32)

    def vessels(self, rng: np.random.Generator) -> Map:
        """Branching trees from both hila, thinner at each fork."""
        total = np.zeros_like(self.x)
        for side in (-1, 1):
            root = np.array([side * 0.17, 0.445 if side < 0 else 0.425])
            for angle in np.linspace(-1.25, 1.45, 9):
                heading = np.array([side * np.cos(angle), 0.62 * np.sin(angle)])
                self.branch(total, root, heading, 0.017, 5, rng)
        soft = cv2.GaussianBlur(total, (0, 0), self.width / 500)
        hila = 0.16 * (self.ellipsoid(-0.20, 0.45, 0.075, 0.075, 25) + self.ellipsoid(0.21, 0.43, 0.07, 0.07, -25))
        return np.asarray(0.20 * soft + hila, np.float32)

    def branch(
        self, total: Map, start: NDArray[np.float64], heading: NDArray[np.float64], width: float, depth: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Draw one segment and two thinner ones from its end."""
        if depth == 0:
            return
        end = start + heading * (0.07 + 0.05 * rng.random()) * (0.75 + 0.07 * depth)
        line = self.pixels(np.array([start, end], np.float32))
        cv2.polylines(total, [line], False, 0.35 + 0.12 * depth, max(1, round(width * self.width / 2)), cv2.LINE_AA, 4)
        for turn in (-0.42, 0.38):
            angle = turn * (0.6 + 0.8 * rng.random())
            rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            self.branch(total, end, rotation @ heading, width * 0.68, depth - 1, rng)

    def stomach_bubble(self) -> Map:
        """Gas under the left dome (image-right)."""
        return np.asarray(0.45 * self.ellipsoid(0.42, 0.835, 0.15, 0.045, -8), np.float32)

    def patch(self, opacity: Opacity, rng: np.random.Generator) -> Map:
        """A consolidation: a soft blob with an uneven border."""
        distance = np.hypot(self.x - opacity.x, (self.y - opacity.y) * 1.9) / opacity.radius
        cloud = cv2.GaussianBlur(
            rng.normal(0, 1, self.x.shape).astype(np.float32), (0, 0), self.width * opacity.radius / 9
        )
        uneven = distance + 0.28 * cloud / max(float(cloud.std()), 1e-6) * 0.6
        return np.asarray(opacity.density * 0.58 / (1 + np.exp(np.clip(6.5 * (uneven - 0.8), -60, 60))), np.float32)

    def fluid(self, height: float) -> Map:
        """A meniscus: higher at the chest wall than at the heart."""
        surface = 0.86 - 0.55 * height - 0.16 * np.clip((self.x - 0.45) / 0.35, 0, 1) ** 2
        return np.asarray(0.85 / (1 + np.exp(np.clip(-90 * (self.y - surface), -60, 60))), np.float32)

    def ellipsoid(self, cx: float, cy: float, rx: float, ry: float, degrees: float) -> Map:
        """Path through an ellipsoid, 1 at its middle; ``ry`` in units of the height."""
        angle = np.deg2rad(degrees)
        dx, dy = self.x - cx, (self.y - cy) * 2 * self.height / self.width
        u = (dx * np.cos(angle) - dy * np.sin(angle)) / rx
        v = (dx * np.sin(angle) + dy * np.cos(angle)) / (ry * 2 * self.height / self.width)
        return np.asarray(np.sqrt(np.clip(1 - u**2 - v**2, 0, 1)), np.float32)

    def filled(self, outline: Points) -> Map:
        """1 inside a closed curve."""
        mask = np.zeros((self.height, self.width), np.float32)
        cv2.fillPoly(mask, [self.pixels(outline)], 1.0, cv2.LINE_AA, 4)
        return mask

    def tubes(self, lines: list[list[tuple[float, float]]], width: float) -> Map:
        """Soft lines."""
        total = np.zeros((self.height, self.width), np.float32)
        for line in lines:
            points = self.pixels(np.array(line, np.float32))
            cv2.polylines(total, [points], False, 1.0, max(1, round(width * self.width)), cv2.LINE_AA, 4)
        return np.asarray(cv2.GaussianBlur(total, (0, 0), self.width / 250), np.float32)

    def shell(self, line: Points, width: float) -> Map:
        """A bone seen from the side: dense cortex at both edges, marrow between."""
        outer, inner = (np.zeros((self.height, self.width), np.float32) for _ in range(2))
        points = self.pixels(line)
        cv2.polylines(outer, [points], False, 1.0, max(3, round(width * self.width)), cv2.LINE_AA, 4)
        cv2.polylines(inner, [points], False, 1.0, max(1, round(width * self.width * 0.62)), cv2.LINE_AA, 4)
        return np.asarray(cv2.GaussianBlur(outer - 0.42 * inner, (0, 0), self.width / 520), np.float32)

    def pixels(self, points: Points) -> NDArray[np.int32]:
        """Phantom coordinates to pixels with four fractional bits, as OpenCV draws them."""
        scale = np.array([(self.width - 1) / 2, self.height - 1], np.float32)
        return np.asarray(np.rint((points + np.array([1, 0], np.float32)) * scale * 16), np.int32)


def _smooth(points: list[tuple[float, float]], *, closed: bool = True) -> Points:
    """A Catmull-Rom curve through points."""
    known = np.array(points, np.float64)
    around = np.vstack([known[-1:], known, known[:2]]) if closed else np.vstack([known[:1], known, known[-1:]])
    pieces = []
    for a, b, c, d in zip(around[:-3], around[1:-2], around[2:-1], around[3:], strict=True):
        t = np.linspace(0, 1, 16, endpoint=False)[:, None]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack([*pieces, known[:1] if closed else known[-1:]]).astype(np.float32)


def _between(y: Map, top: float, bottom: float, soft: float) -> Map:
    """1 between two heights, with soft ends."""
    rise, fall = (np.clip(4 * (y - edge) / soft, -60, 60) for edge in (top, bottom))
    return np.asarray(1 / (1 + np.exp(-rise)) / (1 + np.exp(fall)), np.float32)
