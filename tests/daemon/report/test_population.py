"""Outputs for a real population of headers; ``make population`` takes every one of them."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Box, StudyAnalysis
from cxrd.imaging.header import read_header
from support.analyses import CHARM, FACTS, OTHER, analysis, answer, finding, fourteen
from support.openi import header, rows, varied
from support.validators import dciodvfy

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
EVERY = frozenset(ArtefactKind)
MAPS = frozenset({ArtefactKind.SEG, ArtefactKind.PM})
"""What only a film with a localised finding has."""


def received(made: Dataset) -> Dataset:
    """A header as the daemon reads it from what a sender wrote."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return read_header(buffer.getvalue())


def found(source: Dataset, number: int) -> StudyAnalysis:
    """What models answer, in turn: with a place, without one, in a code of our own, nothing, of an unnamed view."""
    rows_, columns = int(source.Rows), int(source.Columns)
    box = Box(left=columns * 0.1, top=rows_ * 0.5, right=columns * 0.4, bottom=rows_ * 0.9)
    place: dict[str, Any] = {"boxes": (box,), "hot": (number % 7, 1)}
    quiet, silent = answer(CHARM, *fourteen()), answer(OTHER, note="age 4 is outside the model's intended use")
    several = answer(OTHER, finding("other", Answer.PRESENT), finding("atelectasis", Answer.PRESENT, **place))
    turns = (
        (answer(CHARM, *fourteen("Pneumonia", **place)),),
        (answer(CHARM, *fourteen("Mass", "Nodule")), silent),
        (answer(CHARM, *fourteen("Pleural_Thickening", "Effusion", "Hernia", **place)), several),
        (quiet, silent),
        (answer(CHARM, *fourteen("Infiltration", **place), note="the view is not named"),),
    )
    return analysis(source, answers=turns[number % len(turns)], mirrored=number % 3 == 0)


def outputs(source: Dataset, number: int) -> tuple[Artefact, ...]:
    """Every kind of object of a header, over a phantom of its own."""
    phantom = np.random.default_rng(number).integers(0, 256, (96, 60 + number % 50), np.uint8)
    uid = source.SOPInstanceUID
    return report.build(found(source, number), {uid: source}, {uid: phantom}, sends=[EVERY], facts=FACTS, now=NOW)


@pytest.fixture(scope="module")
def sample(films: Path, pytestconfig: pytest.Config) -> list[Dataset]:
    """Headers that vary as the population does; all of them where asked for."""
    wanted = int(pytestconfig.getoption("--headers"))
    chosen = varied(films, wanted) if wanted else list(rows(films))
    return [received(header(row)) for row in chosen]


def without_place(line: str) -> str:
    """An error without the path of its element in the object: attribute and message."""
    return re.sub(r"</.*/(?=[^/]+>)|</", "<", line)


def test_every_header_gets_objects_without_an_error_that_it_did_not_bring(
    sample: list[Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank, odd, inverse or doubled: not one fails, and the validator judges every object and every header.

    An illegal UID root stays what it is, because references must match.
    """
    made: Counter[ArtefactKind] = Counter()
    ours: Counter[str] = Counter()
    brought: Counter[str] = Counter()
    for number, source in enumerate(sample):
        artefacts = outputs(source, number)
        made.update(a.kind for a in artefacts)
        buffer = BytesIO()
        dcmwrite(buffer, source, enforce_file_format=True)
        known = {without_place(line) for line in dciodvfy(buffer.getvalue(), tmp_path)}
        for artefact in artefacts:
            for line in {without_place(line) for line in dciodvfy(artefact.data, tmp_path)}:
                (brought if line in known or illegal_root(line) else ours)[f"{artefact.kind}: {line}"] += 1
    with capsys.disabled():
        told = f"{ours.total()} errors of ours, {brought.total()} brought by their headers"
        print(f"\n{made.total()} outputs of {len(sample)} headers judged: {told}")
    assert {kind: len(sample) for kind in EVERY - MAPS} == {kind: made[kind] for kind in EVERY - MAPS}
    assert all(made[kind] for kind in MAPS)
    assert {} == ours


def illegal_root(line: str) -> bool:
    """Whether the validator dislikes a UID's root: all of this collection's begin with 9999."""
    return "Illegal root for UID" in line and "9999." in line
