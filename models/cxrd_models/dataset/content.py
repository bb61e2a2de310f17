"""Films and everything that is none, for the check of a picture's content.

Frontal films come from a data set that is there, with its splits; laterals and foreign pictures from its ``ood``
folder, a quarter of them never trained on; what nobody collected is drawn, or cut out of films of the same split.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from importlib import import_module
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from cxrd.findings import Value
from cxrd_models.data.cells import read_table
from cxrd_models.data.manifest import SPLITS
from cxrd_models.data.tasks import CONTENT
from cxrd_models.dataset import drawn
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.drawn import DRAWN, OF_A_FILM, Picture
from cxrd_models.dataset.rows import Row, read_rows
from cxrd_models.errors import DataError
from cxrd_models.writing import writing

MADE, LINKED = "made", "films"
LONGER_SIDE = 320
FOLDS = 4
SHARES = {"train": 0.76, "val": 0.12, "test": 0.12}
COUNTS = {"turned": 800, "inverted": 400, "cut": 200, "drawn": 100, "foreign": 24}
"""Pictures of each kind: films turned and inverted, films cut in each way, each drawing, copies of each foreign one."""

LEARNT = 1200
"""Frontal films to learn from, of each source alike: the head needs no more, and an epoch is a minute."""

LATERAL, FEWEST = "lateral", 4
FOREIGN = {
    "693_J2KI.dcm": "train", "J2K_pixelrep_mismatch.dcm": "val", "MR_small.dcm": "train", "CT_small.dcm": "train",
    "examples_overlay.dcm": "train", "examples_jpeg2k.dcm": "train", "examples_rgb_color.dcm": "val",
    "JPEG2000.dcm": "train",
}  # fmt: skip
"""Slices, ultrasound and a scintigram that pydicom brings for its tests, and the split that each serves."""


class Wishes(Value):
    """What a user of the builder asks for.

    Attributes
    ----------
    fold : int
        Which quarter of the ``ood`` folder is the test, 0 to 3.
    """

    fold: int = 0
    seed: int = 0


def read_content(films: Path, out: Path, wishes: Wishes) -> Draft:
    """Read a data set's frontal films and its ``ood`` folder, and make the rest below ``out``.

    Raises
    ------
    DataError
        A table or a film is missing.
    """
    known = read_rows(films)
    beside = _beside(films, out, wishes, {row.patient_id for row in known if row.split == "test"})
    moved = {row.patient_id: row.split for row in beside}
    frontal = [
        Row(
            file=str(_linked(films, out, row.file)),
            source=row.source,
            split=moved.get(row.patient_id, row.split),
            labels={CONTENT.column: "frontal"},
            patient_id=row.patient_id,
            view=row.view,
            age=row.age,
            sex=row.sex,
            orig_file=row.file,
        )
        for row in known
    ]
    learnt = _some([row for row in frontal if row.split == "train"], LEARNT, np.random.default_rng(wishes.seed))
    kept = [*learnt, *(row for row in frontal if row.split != "train")]
    rows = [*kept, *beside, *_made(frontal, out, wishes), *_foreign(out, wishes)]
    told: dict[str, str | int | float | bool | None] = {"films": films.name, "fold": wishes.fold, "seed": wishes.seed}
    left_out = {"more frontal films than the head needs": len(frontal) - len(kept)}
    return Draft(builder="content", rows=tuple(rows), arguments=told, left_out=left_out)


def _beside(films: Path, out: Path, wishes: Wishes, judged: Collection[str]) -> list[Row]:
    """Laterals and foreign pictures; ``judged`` are patients whose frontal films are of the test split.

    A kind of which there are few is only ever judged, never learnt.
    """
    kinds: dict[str, list[dict[str, str]]] = {}
    for line in read_table(films / "ood" / "labels.csv", ("file", "kind", "patient_id")):
        kinds.setdefault(line["kind"], []).append(line)
    rows = []
    for kind, lines in sorted(kinds.items()):
        order = sorted(lines, key=lambda line: sha256(f"{wishes.seed}/{line['file']}".encode()).hexdigest())
        for number, line in enumerate(order):
            few = len(lines) < FEWEST or line["patient_id"] in judged
            rows.append(
                Row(
                    file=str(_linked(films, out, line["file"])),
                    source="ood",
                    split="test" if few else fold_of(number, wishes.fold),
                    labels={CONTENT.column: LATERAL if kind == LATERAL else "not_chest"},
                    patient_id=line["patient_id"] or line["file"],
                    view=kind,
                    orig_file=line["file"],
                )
            )
    return rows


def _linked(films: Path, out: Path, name: str) -> Path:
    """Link to a film below the data set, so that no table and no package names a folder of this machine."""
    link = out / LINKED / name
    with writing(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((films / name).resolve())
    return link


def fold_of(number: int, fold: int) -> str:
    """Split of the picture of that number: a quarter judges; of the next one every other tunes; the rest is learnt."""
    place = (number - fold) % FOLDS
    if place == 0:
        return "test"
    return "val" if place == 1 and (number // FOLDS) % 2 == 0 else "train"


def _made(frontal: Sequence[Row], out: Path, wishes: Wishes) -> Iterator[Row]:
    for split in SPLITS:
        random = np.random.default_rng([wishes.seed, SPLITS.index(split)])
        of_split = [row for row in frontal if row.split == split]
        for what, change in OF_A_FILM.items():
            for row in _some(of_split, round(COUNTS.get(what, COUNTS["cut"]) * SHARES[split]), random):
                picture = change(_grey(Path(row.file)), random)
                yield _row(out, picture, what, split, row.patient_id, row.source)
        for what, draw in DRAWN.items():
            for number in range(round(COUNTS["drawn"] * SHARES[split])):
                yield _row(out, draw(random), what, split, f"{split} {what} {number}", "drawn")


def _foreign(out: Path, wishes: Wishes) -> Iterator[Row]:
    """Copies of the pictures that installed packages bring, each cut a little differently."""
    for name, split, picture in _brought():
        random = np.random.default_rng([wishes.seed, *name.encode()])
        for number in range(COUNTS["foreign"]):
            yield _row(out, drawn.crop(picture, random) if number else picture, "foreign", split, name, "packages")


def _brought() -> Iterator[tuple[str, str, Picture]]:
    for name, split in FOREIGN.items():
        dataset = dcmread(BytesIO((files("pydicom") / "data" / "test_files" / name).read_bytes()), force=True)
        yield name, split, _eight_bit(dataset.pixel_array)
    for photo in import_module("sklearn.datasets").load_sample_images().images:
        yield f"photo {photo.shape} {int(photo.sum())}", "train", _eight_bit(photo)
    sample = files("matplotlib") / "mpl-data" / "sample_data"
    yield (
        "grace_hopper.jpg",
        "val",
        _eight_bit(np.asarray(Image.open(BytesIO((sample / "grace_hopper.jpg").read_bytes())))),
    )
    head = np.frombuffer(gzip.decompress((sample / "s1045.ima.gz").read_bytes()), np.uint16)
    yield "s1045.ima.gz", "train", _eight_bit(head.reshape(256, 256))


def _eight_bit(pixels: NDArray[np.generic]) -> Picture:
    """Grey of its own range."""
    grey = np.asarray(pixels, np.float32)
    while grey.ndim > 2:
        grey = grey.mean(axis=-1) if grey.shape[-1] <= 4 else grey[0]
    low, high = np.percentile(grey, (1, 99.5))
    return np.asarray(np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1) * 255, np.uint8)


def _some(rows: Sequence[Row], count: int, random: np.random.Generator) -> list[Row]:
    """So many films, from each source alike as far as they reach."""
    sources = sorted({row.source for row in rows})
    chosen: list[Row] = []
    for source in sources:
        mine = [row for row in rows if row.source == source]
        wanted = min(len(mine), -(-count // len(sources)))
        chosen += [mine[int(i)] for i in random.choice(len(mine), wanted, replace=False)]
    return chosen[:count]


def _grey(path: Path) -> Picture:
    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
    except OSError as fault:
        raise DataError(f"{path} cannot be read: {fault}") from fault
    scale = min(1.0, LONGER_SIDE / max(grey.shape))
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey, np.uint8)


def _row(out: Path, picture: Picture, what: str, split: str, patient: str, source: str) -> Row:
    target = out / MADE / what / f"{sha256(picture.tobytes() + str(picture.shape).encode()).hexdigest()[:24]}.png"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), picture)
    label = what if what in CONTENT.classes else "not_chest"
    return Row(
        file=str(target),
        source=source,
        split=split,
        labels={CONTENT.column: label},
        patient_id=patient,
        view=what,
        orig_file=target.name,
    )
