"""The ``infer`` role: studies that are complete become findings.

Films of all claimed studies are decoded side by side and pass each model in one batch; each study is then
closed in a transaction of its own: which images were admitted or refused and why, the analysis, the job
that builds its objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from sqlalchemy import Connection

from cxrd.errors import CxrdError, PayloadLost, Reason, Refused
from cxrd.findings import Answer, FilmAnalysis, ModelRef, StudyAnalysis
from cxrd.inference.engine import Classifier
from cxrd.inference.reference import statistics
from cxrd.inference.thresholds import check_models
from cxrd.pipeline import Plan, Prepared, analyse, conclude
from cxrd.settings import Settings
from cxrd.store import jobs, observations, results
from cxrd.store.database import Database
from cxrd.store.observations import Seen
from cxrd.store.payload import Payloads
from cxrd.store.schema import InstanceState, JobKind
from cxrd.store.steps import Step
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger
from cxrd.work.decoding import Decoders

PNG_STORED = (cv2.IMWRITE_PNG_COMPRESSION, 0)  # half the CPU time of the fastest deflate, for half a megabyte


@dataclass(slots=True)
class _Study:
    """A claimed study while it is being worked on."""

    claim: jobs.Claim
    marks: dict[str, tuple[InstanceState, str, str]] = field(default_factory=dict)
    films: list[Prepared] = field(default_factory=list)


class InferHandler:
    """Handles ``infer`` claims.

    Parameters
    ----------
    database, payload
        Where studies and their bytes are.
    classifiers : sequence of Classifier
        Loaded models; at least one.
    decoders : Decoders
        The decode pool.
    settings : Settings
        Batch size, preview size, report configuration.
    metrics : Metrics
        Where durations and scores go.
    """

    kind = JobKind.INFER

    def __init__(
        self,
        database: Database,
        payload: Payloads,
        classifiers: Sequence[Classifier],
        decoders: Decoders,
        settings: Settings,
        metrics: m.Metrics,
    ) -> None:
        self._batch_size = settings.inference.batch_size
        self._database = database
        self._payload = payload
        self._loaded = tuple(classifiers)
        self._decoders = decoders
        self._plan = Plan.of(classifiers, settings.report.preview_size)
        self._metrics = metrics
        self._log: Any = logger()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Judge by another configuration's thresholds from the next batch on.

        Raises
        ------
        ConfigError
            They do not fit the models; the old ones stay in force.
        """
        check_models(settings.models.thresholds, [c.ref.id for c in self._loaded])
        moved = tuple(c.at(settings.models.thresholds) for c in self._loaded)
        self._rule = (moved, settings.digest())  # one assignment: a batch sees both or neither

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease a batch of studies."""
        return jobs.claim(connection, now, self.kind, owner=owner, limit=self._batch_size, lease_s=lease_s)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Decode, judge and analyse; one step for each study."""
        classifiers, config_digest = self._rule
        studies = [self._read(claim) for claim in claims]
        films = [film for study in studies for film in study.films]
        analysed = analyse(classifiers, films, self._model_ran) if films else ()
        by_uid = dict(zip((film.film.sop_uid for film in films), analysed, strict=True))
        for study in studies:
            mine = [self._with_preview(film, by_uid[film.film.sop_uid]) for film in study.films]
            if mine:
                yield self._analysed(study, conclude(study.claim.study_uid, mine, config_digest=config_digest))
            else:
                yield self._refused(study)

    def _read(self, claim: jobs.Claim) -> _Study:
        with self._database.read() as connection:
            instances = results.instances_of(connection, claim.study_uid)
        by_path: Mapping[Path, str] = {self._payload.file(row.sha256): row.sop_uid for row in instances}
        study = _Study(claim)
        for path, outcome in self._decoders.prepare(list(by_path), self._plan).items():
            sop_uid = by_path[path]
            match outcome:
                case Prepared():
                    study.films.append(outcome)
                    study.marks[sop_uid] = (InstanceState.ADMITTED, "", "; ".join(outcome.notes))
                    for stage, seconds in outcome.seconds.items():
                        self._metrics.observe(m.STAGE, seconds, stage=stage)
                case Refused():
                    study.marks[sop_uid] = (InstanceState.REFUSED, str(outcome.reason), outcome.message)
                    self._metrics.count(m.REFUSED, reason=str(outcome.reason))
                    self._log.info("image refused", study=claim.study_uid, instance=sop_uid, reason=str(outcome.reason))
                case PayloadLost():
                    raise outcome
        return study

    def _with_preview(self, film: Prepared, analysis: FilmAnalysis) -> FilmAnalysis:
        done, png = cv2.imencode(".png", film.preview, PNG_STORED)
        if not done:
            raise CxrdError("the preview could not be encoded")
        return analysis.model_copy(update={"preview": self._payload.put(png.tobytes())})

    def _analysed(self, study: _Study, analysis: StudyAnalysis) -> Step:
        claim = study.claim
        seen = self._seen(study, analysis)

        def effect(connection: Connection, now: float) -> None:
            results.mark_instances(connection, now, study.marks)
            inference_id = results.record_inference(connection, now, analysis)
            if inference_id is not None:
                observations.record(connection, now, inference_id, claim.study_uid, seen)
                jobs.enqueue(
                    connection,
                    now,
                    JobKind.BUILD,
                    dedupe=f"build:{inference_id}",
                    study_uid=claim.study_uid,
                    priority=claim.priority,
                    payload={"inference_id": inference_id},
                )
            jobs.finish(connection, now, claim)

        self._count_scores(analysis)
        self._log.info(
            "study analysed",
            study=claim.study_uid,
            films=len(analysis.films),
            refused=len(study.marks) - len(study.films),
        )
        return Step(claim, effect)

    def _seen(self, study: _Study, analysis: StudyAnalysis) -> list[list[Seen]]:
        """What each model was fed and said of each film, in numbers."""
        inputs = {film.film.sop_uid: {p: statistics(image) for p, image in film.inputs.items()} for film in study.films}
        preprocess = {c.ref.id: c.manifest.preprocess for c in self._loaded}
        return [
            [
                Seen(
                    answer.model.id,
                    answer.model.version,
                    inputs[film.film.sop_uid][preprocess[answer.model.id]],
                    {x.class_id: x.probability for x in answer.findings},
                )
                for answer in film.answers
            ]
            for film in analysis.films
        ]

    def _refused(self, study: _Study) -> Step:
        claim = study.claim
        reasons = sorted({reason for _, reason, _ in study.marks.values()})
        others = f" (also {', '.join(reasons[1:])})" if len(reasons) > 1 else ""
        reason = Reason(reasons[0]) if reasons else Reason.NO_PIXELS
        detail = f"none of {len(study.marks)} image(s) can be analysed{others}"

        def effect(connection: Connection, now: float) -> None:
            results.mark_instances(connection, now, study.marks)
            results.refuse_study(connection, now, claim.study_uid, reason, detail)
            jobs.finish(connection, now, claim)

        self._log.info("study refused", study=claim.study_uid, reasons=reasons)
        return Step(claim, effect)

    def _model_ran(self, model: ModelRef, films: int, seconds: float, asked_again: int | None) -> None:
        if asked_again is not None:
            self._metrics.count(m.GATE_FILMS, films, model=model.id)
            self._metrics.count(m.GATE_SECOND, asked_again, model=model.id)
        self._metrics.observe(m.BATCH, films, model=model.id)
        self._metrics.observe(m.MODEL_DURATION, seconds, model=model.id)
        self._metrics.observe(m.STAGE, seconds, stage="infer")

    def _count_scores(self, analysis: StudyAnalysis) -> None:
        for _, answer, finding in analysis.findings():
            model, name = answer.model.id, finding.class_id
            self._metrics.observe(m.SCORE, finding.probability, model=model, finding=name)
            if finding.answer is Answer.PRESENT:
                self._metrics.count(m.POSITIVE, model=model, finding=name)
