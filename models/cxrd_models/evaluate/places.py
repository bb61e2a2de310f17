"""Whether a package's boxes and maps show the right place, film by film and together, beside maps that know nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import Box, FilmRef, Value, View
from cxrd.inference.heatmap import box_on_film
from cxrd.inference.manifest import HeatSpec
from cxrd_models.data.films import decode
from cxrd_models.data.lungs import read_mask
from cxrd_models.data.manifest import Manifest
from cxrd_models.evaluate import localise
from cxrd_models.evaluate.answers import Answers
from cxrd_models.evaluate.scores import rounded
from cxrd_models.evaluate.truth import Boxes

Grid = NDArray[np.float32]
MAPS = ("model", "random", "other film")


class Place(Value):
    """One map of one class on one film that a person has boxed.

    Attributes
    ----------
    map : {"model", "random", "other film"}
        The package's map; blurred noise; the package's map of another film (where things tend to lie).
    box, truth : Box or None, Box
        Predicted, by the daemon's own code; the true box that it overlaps most (of several).
    iou, giou, iobb : float
        0, -1 and 0 without a predicted box.
    hausdorff_corners, hausdorff_contour, distance_corners, distance_contour : float or None
        % of the film's diagonal; None without a predicted box.
    pointed : bool
        Whether the map's peak lies in a true box.
    """

    file: str
    class_id: str
    map: str
    boxes: int
    box: Box | None
    truth: Box
    iou: float
    giou: float
    iobb: float
    hausdorff_corners: float | None
    hausdorff_contour: float | None
    distance_corners: float | None
    distance_contour: float | None
    pointed: bool


class Localised(Value):
    """All `Place` of one kind of map and one class; films without a predicted box count with overlap 0.

    Attributes
    ----------
    films, boxed : int
        With a true box; of these with a predicted one.
    iou, giou, iobb, pointing : float
        Means; ``pointing`` is the share of films whose peak lies in a true box.
    at_iou, at_iobb : dict of str to float
        Share of films with at least that overlap, by "0.1" to "0.7".
    hausdorff_corners, hausdorff_contour, distance_corners, distance_contour : float or None
        Means over films with a predicted box, % of the diagonal.
    """

    class_id: str
    map: str
    films: int
    boxed: int
    iou: float
    giou: float
    iobb: float
    pointing: float
    at_iou: dict[str, float]
    at_iobb: dict[str, float]
    hausdorff_corners: float | None
    hausdorff_contour: float | None
    distance_corners: float | None
    distance_contour: float | None


class InLungs(Value):
    """Share of the heat of each film's leading class that lies in the lungs; by chance it would be ``area``."""

    films: int
    model: float | None
    random: float | None
    area: float | None


class _Case(NamedTuple):
    film: FilmRef
    truth: tuple[Box, ...]
    spec: HeatSpec


def film_ref(rows: int, columns: int) -> FilmRef:
    """Return a film of which only the size is known: all that the daemon's geometry asks for."""
    return FilmRef(
        study_uid="", series_uid="", sop_uid="", sop_class="", sha256="", rows=rows, columns=columns, view=View.UNKNOWN
    )


def places(manifest: Manifest, answers: Answers, spec: HeatSpec, boxes: Boxes, seed: int) -> tuple[Place, ...]:
    """Compare every map with every boxed film of a manifest; ``answers`` are of its films, in its order."""
    if answers.heat is None:
        return ()
    random, found = np.random.default_rng(seed), list[Place]()
    others = random.permutation(len(manifest.films))
    for i, film in enumerate(manifest.films):
        drawn = boxes.get(film.file, ())
        if not drawn:
            continue
        rows, columns = decode(manifest.folder, film).shape
        other = int(others[i]) if others[i] != i else (i + 1) % len(others)
        for k, name in enumerate(manifest.task.classes):
            truth = tuple(b.box for b in drawn if name in b.classes)
            grid, strange = answers.map_of(i, k), answers.map_of(other, k)
            if truth and grid is not None and strange is not None:
                case = _Case(film_ref(rows, columns), truth, spec)
                noise = localise.random_map((spec.height, spec.width), random) * grid.max(initial=np.float32(0))
                found += [
                    _place(film.told, name, m, g, case) for m, g in zip(MAPS, (grid, noise, strange), strict=True)
                ]
    return tuple(found)


def summary(found: tuple[Place, ...]) -> tuple[Localised, ...]:
    """Take the means of each class and kind of map."""
    kinds = dict.fromkeys((p.class_id, p.map) for p in found)
    return tuple(_mean([p for p in found if (p.class_id, p.map) == kind]) for kind in kinds)


def in_lungs(manifest: Manifest, answers: Answers, leading: NDArray[np.int64], seed: int) -> InLungs | None:
    """Heat in the lungs, over films with a mask and a map; None where there are none.

    Parameters
    ----------
    leading : array
        [films] the class whose map is looked at.
    """
    random = np.random.default_rng(seed)
    rows = list(_shares(manifest, answers, leading, random))
    if not rows:
        return None
    model, noise, area = np.nanmean(np.array(rows), axis=0)
    return InLungs(films=len(rows), model=rounded(model), random=rounded(noise), area=rounded(area))


def _shares(
    manifest: Manifest, answers: Answers, leading: NDArray[np.int64], random: np.random.Generator
) -> Iterator[tuple[float, float, float]]:
    for i, film in enumerate(manifest.films):
        grid = answers.map_of(i, int(leading[i]))
        if film.mask and grid is not None and grid.max(initial=np.float32(0)) > 0:
            mask = read_mask(Path(manifest.folder), film)
            noise = localise.random_map((grid.shape[0], grid.shape[1]), random)
            yield localise.energy_inside(grid, mask), localise.energy_inside(noise, mask), float(mask.mean())


def _place(file: str, class_id: str, kind: str, grid: Grid, case: _Case) -> Place:
    film, spec = case.film, case.spec
    box = box_on_film(grid, film, threshold=spec.box_threshold, min_peak=spec.min_peak)
    truth = max(case.truth, key=lambda true: localise.iou(box, true)) if box else case.truth[0]
    diagonal = float(np.hypot(film.rows, film.columns))
    return Place(
        file=file,
        class_id=class_id,
        map=kind,
        boxes=len(case.truth),
        box=box,
        truth=truth,
        iou=localise.iou(box, truth) if box else 0.0,
        giou=localise.giou(box, truth) if box else -1.0,
        iobb=localise.iobb(box, truth) if box else 0.0,
        hausdorff_corners=localise.hausdorff_corners(box, truth) / diagonal * 100 if box else None,
        hausdorff_contour=localise.hausdorff_contour(box, truth) / diagonal * 100 if box else None,
        distance_corners=localise.boundary_distance_corners(box, truth, diagonal) if box else None,
        distance_contour=localise.boundary_distance_contour(box, truth, diagonal) if box else None,
        pointed=localise.points_inside(grid, case.truth, film.rows, film.columns),
    )


def _mean(group: list[Place]) -> Localised:
    boxed = [p for p in group if p.box is not None]

    def far(name: str) -> float | None:
        return rounded(float(np.mean([getattr(p, name) for p in boxed]))) if boxed else None

    def share(name: str) -> dict[str, float]:
        values = np.array([getattr(p, name) for p in group])
        return {f"{t:.1f}": round(float((values >= t).mean()), 4) for t in localise.IOU_STEPS}

    return Localised(
        class_id=group[0].class_id,
        map=group[0].map,
        films=len(group),
        boxed=len(boxed),
        iou=round(float(np.mean([p.iou for p in group])), 4),
        giou=round(float(np.mean([p.giou for p in group])), 4),
        iobb=round(float(np.mean([p.iobb for p in group])), 4),
        pointing=round(float(np.mean([p.pointed for p in group])), 4),
        at_iou=share("iou"),
        at_iobb=share("iobb"),
        hausdorff_corners=far("hausdorff_corners"),
        hausdorff_contour=far("hausdorff_contour"),
        distance_corners=far("distance_corners"),
        distance_contour=far("distance_contour"),
    )
