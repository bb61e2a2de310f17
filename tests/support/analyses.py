"""Analyses and headers to make objects of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.findings import (
    Answer,
    Applicability,
    Box,
    FilmAnalysis,
    FilmRef,
    Finding,
    Heat,
    ModelAnswer,
    ModelRef,
    StudyAnalysis,
    View,
)
from cxrd.report.facts import ReportFacts
from cxrd.settings import Report
from cxrd.vocabulary import TERMS

CHARM = ModelRef(id="charm", version="1.0.0", digest="ab" * 32)
OTHER = ModelRef(id="deit_scm", version="2.1.0", digest="cd" * 32)
NIH = tuple(name for name in TERMS if name[0].isupper())
FACTS = ReportFacts.of(Report(institution="Test Hospital"), software_version="0.1.0")


def finding(name: str, answer: Answer, *, boxes: tuple[Box, ...] = (), hot: tuple[int, int] | None = None) -> Finding:
    """A finding of the vocabulary; ``hot`` is the bright cell of its 7 x 7 map."""
    grid = np.zeros((7, 7), np.float32)
    if hot:
        grid[hot] = 3.0
    term = TERMS[name]
    return Finding(
        class_id=name,
        role=term.role,
        code=term.code,
        site=term.site,
        probability={Answer.PRESENT: 0.812345, Answer.ABSENT: 0.1, Answer.UNDETERMINED: 0.4}[answer],
        threshold=None if answer is Answer.UNDETERMINED else 0.5,
        answer=answer,
        boxes=boxes,
        heat=Heat.from_grid(grid) if hot else None,
    )


def fourteen(*present: str, **details: Any) -> tuple[Finding, ...]:
    """The fourteen NIH findings, some present; Hernia is not determined."""
    return tuple(
        finding(n, Answer.PRESENT, **details)
        if n in present
        else finding(n, Answer.UNDETERMINED if n == "Hernia" else Answer.ABSENT)
        for n in NIH
    )


def analysis(
    *headers: Dataset, answers: tuple[ModelAnswer, ...] | None = None, mirrored: bool = False, sided: bool = True
) -> StudyAnalysis:
    """An analysis of the films of these headers; one present finding with a box unless told otherwise."""
    films = []
    for header in headers:
        rows, columns = int(header.Rows), int(header.Columns)
        box = Box(left=columns * 0.1, top=rows * 0.5, right=columns * 0.4, bottom=rows * 0.9)
        said = answers or (answer(CHARM, *fourteen("Pneumonia", boxes=(box,), hot=(5, 1))),)
        film = FilmRef(
            study_uid=header.StudyInstanceUID,
            series_uid=header.SeriesInstanceUID,
            sop_uid=header.SOPInstanceUID,
            sop_class=header.SOPClassUID,
            sha256="0" * 64,
            rows=rows,
            columns=columns,
            view=View.PA,
            mirrored=mirrored,
            sided=sided,
        )
        films.append(FilmAnalysis(film=film, answers=said))
    return StudyAnalysis(
        study_uid=headers[0].StudyInstanceUID,
        films=tuple(films),
        input_digest="1" * 64,
        model_digest="2" * 64,
        config_digest="3" * 64,
    )


def answer(model: ModelRef, *findings: Finding, note: str = "") -> ModelAnswer:
    """One model's answer."""
    applies = Applicability.UNKNOWN if note else Applicability.INSIDE
    return ModelAnswer(model=model, applicability=applies, note=note, findings=findings)


def previews(*headers: Dataset) -> dict[str, NDArray[np.uint8]]:
    """A grey picture of each film's shape."""
    return {h.SOPInstanceUID: np.full((int(h.Rows), int(h.Columns)), 90, np.uint8) for h in headers}
