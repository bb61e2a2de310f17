"""Models that only look on: they judge the films of a batch after its results are committed.

What they say goes into ``observation`` and the metrics, never into an analysis, so no report can hold it. A
failure of theirs costs their own answer and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cxrd.errors import InferenceError
from cxrd.findings import Answer, FilmAnalysis, Finding
from cxrd.inference.engine import Classifier
from cxrd.inference.lifecycle import Stage
from cxrd.inference.reference import statistics
from cxrd.pipeline import Prepared, analyse
from cxrd.store import observations
from cxrd.store.database import Database
from cxrd.store.observations import Seen
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger


@dataclass(frozen=True, slots=True)
class Judged:
    """A film with its committed analysis."""

    inference_id: int
    study_uid: str
    film: Prepared
    analysis: FilmAnalysis


class Shadows:
    """Lets models look on.

    Parameters
    ----------
    database : Database
        Gets their observations.
    metrics : Metrics
        Gets their scores, and whether they agree with the models that answer.
    """

    def __init__(self, database: Database, metrics: m.Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._log: Any = logger()

    def look(self, models: Sequence[Classifier], films: Sequence[Judged]) -> None:
        """Judge films that were analysed just now."""
        if not films:
            return
        for model in models:
            try:
                said = analyse([model], [judged.film for judged in films])
            except InferenceError as error:
                self._metrics.count(m.SHADOW_FAILED, model=model.ref.id)
                self._log.warning("a shadow model failed", model=model.ref.id, error=str(error))
                continue
            with self._database.write() as connection:
                now = self._database.now(connection)
                for judged, answer in zip(films, said, strict=True):
                    seen = {judged.film.film.sha256: seen_by([model], judged.film, answer)}
                    observations.record(
                        connection, now, judged.inference_id, judged.study_uid, seen, stage=Stage.SHADOW
                    )
            for judged, answer in zip(films, said, strict=True):
                self._count(judged.analysis, answer)

    def _count(self, active: FilmAnalysis, shadow: FilmAnalysis) -> None:
        for answer in shadow.answers:
            model = answer.model.id
            told = {x.class_id: x.answer for a in active.answers if a.model.id == model for x in a.findings}
            for finding in answer.findings:
                self._metrics.observe(m.SHADOW_SCORE, finding.probability, model=model, finding=finding.class_id)
                if finding.answer is Answer.PRESENT:
                    self._metrics.count(m.SHADOW_POSITIVE, model=model, finding=finding.class_id)
                if (outcome := _compared(finding, told.get(finding.class_id))) is not None:
                    self._metrics.count(m.SHADOW_COMPARED, model=model, finding=finding.class_id, outcome=outcome)


def _compared(shadow: Finding, active: Answer | None) -> str | None:
    """Whether both answers are the same; None where one of them is no answer."""
    if active in {None, Answer.UNDETERMINED} or shadow.answer is Answer.UNDETERMINED:
        return None
    return "agree" if shadow.answer is active else "differ"


def seen_by(models: Sequence[Classifier], film: Prepared, analysis: FilmAnalysis) -> list[Seen]:
    """What each model was fed and said of a film, in numbers."""
    preprocess = {model.ref.id: model.manifest.preprocess for model in models}
    return [
        Seen(
            answer.model.id,
            answer.model.version,
            statistics(film.inputs[preprocess[answer.model.id]]),
            {x.class_id: x.probability for x in answer.findings},
        )
        for answer in analysis.answers
    ]
