"""Outputs for a real population of headers; ``make population`` takes every one of them."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Box, StudyAnalysis
from cxrd.imaging.header import read_header
from support.analyses import CHARM, FACTS, analysis, answer, finding
from support.openi import header, rows, varied
from support.validators import dciodvfy

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
BUILT = frozenset({ArtefactKind.SR, ArtefactKind.SC, ArtefactKind.GSPS})
PHANTOM = np.full((96, 80), 90, np.uint8)


def received(made: Dataset) -> Dataset:
    """A header as the daemon reads it from what a sender wrote."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return read_header(buffer.getvalue())


def found(source: Dataset) -> StudyAnalysis:
    """One localised finding on a film of the source's size."""
    rows_, columns = int(source.Rows), int(source.Columns)
    box = Box(left=columns * 0.1, top=rows_ * 0.5, right=columns * 0.4, bottom=rows_ * 0.9)
    said = answer(CHARM, finding("Pneumonia", Answer.PRESENT, boxes=(box,), hot=(5, 1)), finding("Mass", Answer.ABSENT))
    return analysis(source, answers=(said,))


def outputs(source: Dataset) -> tuple[Artefact, ...]:
    """Report, picture and presentation state of a header over a phantom."""
    uid = source.SOPInstanceUID
    return report.build(found(source), {uid: source}, {uid: PHANTOM}, sends=[BUILT], facts=FACTS, now=NOW)


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
    """Blank, odd, inverse or doubled: not one fails, and the validator judges three objects of 67 headers.

    An illegal UID root stays what it is, because references must match.
    """
    made: Counter[ArtefactKind] = Counter()
    ours: Counter[str] = Counter()
    brought: Counter[str] = Counter()
    judged = {id(source) for source in sample[:: max(1, len(sample) // 67)][:67]}
    for source in sample:
        artefacts = outputs(source)
        made.update(a.kind for a in artefacts)
        if id(source) not in judged:
            continue
        buffer = BytesIO()
        dcmwrite(buffer, source, enforce_file_format=True)
        known = {without_place(line) for line in dciodvfy(buffer.getvalue(), tmp_path)}
        for artefact in artefacts:
            for line in {without_place(line) for line in dciodvfy(artefact.data, tmp_path)}:
                (brought if line in known or illegal_root(line) else ours)[f"{artefact.kind}: {line}"] += 1
    with capsys.disabled():
        told = f"{ours.total()} errors of ours, {brought.total()} brought by their headers"
        print(f"\n{made.total()} outputs of {len(sample)} headers; {3 * len(judged)} of them judged: {told}")
    assert {kind: len(sample) for kind in BUILT} == made
    assert {} == ours


def illegal_root(line: str) -> bool:
    """Whether the validator dislikes a UID's root: all of this collection's begin with 9999."""
    return "Illegal root for UID" in line and "9999." in line
