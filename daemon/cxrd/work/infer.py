"""The ``infer`` role: studies that are complete become findings.

Films of all claimed studies are decoded side by side and pass each model in one batch; each study is then
closed in a transaction of its own: which images were admitted or refused and why, the analysis, the job
that builds its objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
from sqlalchemy import Connection

from cxrd.admission import instead
from cxrd.errors import CxrdError, PayloadLost, Reason, Refused
from cxrd.findings import Answer, FilmAnalysis, ModelRef, StudyAnalysis, Unread
from cxrd.inference.content import ContentCheck
from cxrd.inference.engine import Classifier, operating
from cxrd.pipeline import Plan, Prepared, analyse, conclude, config_digest, distinct, one_patient, screen
from cxrd.settings import Settings
from cxrd.store import jobs, observations, results
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.store.schema import InstanceState, JobKind
from cxrd.store.steps import Step
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger
from cxrd.work.decoding import Decoders, Outcome
from cxrd.work.shadow import Judged, Shadows, seen_by

PNG_STORED = (cv2.IMWRITE_PNG_COMPRESSION, 0)  # half the CPU time of the fastest deflate, for half a megabyte


@dataclass(slots=True)
class _Study:
    """A claimed study while it is being worked on."""

    claim: jobs.Claim
    named: dict[str, str] = field(default_factory=dict)  # SOP Instance UID of each image by the hash of its bytes
    paths: dict[str, Path] = field(default_factory=dict)  # its file, likewise
    lost: PayloadLost | None = None  # why it cannot be judged now
    marks: dict[str, tuple[InstanceState, str, str]] = field(default_factory=dict)
    films: list[Prepared] = field(default_factory=list)
    legible: set[str] = field(default_factory=set)  # SOP Instance UIDs of images whose header a decode process has read
    inference_id: int | None = None  # once the analysis is committed


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a batch is judged by, taken once at its start: a change in the middle of it counts for the next one.

    Attributes
    ----------
    active, shadows : tuple of Classifier
        Models that answer and models that look on, at the site's operating points.
    """

    active: tuple[Classifier, ...]
    shadows: tuple[Classifier, ...]
    plan: Plan
    config_digest: str


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
    check : ContentCheck or None
        Says what a film's pixels show; None believes the header.
    """

    kind = JobKind.INFER

    def __init__(  # noqa: PLR0913 - the parts that one handler is made of
        self,
        database: Database,
        payload: Payloads,
        classifiers: Sequence[Classifier],
        decoders: Decoders,
        settings: Settings,
        metrics: m.Metrics,
        *,
        check: ContentCheck | None = None,
    ) -> None:
        self._batch_size = settings.inference.batch_size
        self._database = database
        self._payload = payload
        self._decoders = decoders
        self._check = check
        self._metrics = metrics
        self._shadows = Shadows(database, metrics)
        self._log: Any = logger()
        self._lock = Lock()  # settings and models come from two threads
        self._settings = settings
        self._loaded: tuple[Classifier, ...] = ()
        self._looking_on: tuple[Classifier, ...] = ()
        self.take(classifiers, ())

    def follow(self, settings: Settings) -> None:
        """Judge by another configuration's thresholds from the next batch on.

        Raises
        ------
        ConfigError
            They do not fit the models; the old ones stay in force.
        """
        with self._lock:
            self._rule = _rule(settings, self._loaded, self._looking_on, self._check)
            self._settings = settings

    def take(self, active: Sequence[Classifier], shadows: Sequence[Classifier]) -> None:
        """Judge by other models from the next batch on.

        Raises
        ------
        ConfigError
            The site's thresholds do not fit them; the old ones stay in force.
        """
        with self._lock:
            self._rule = _rule(self._settings, active, shadows, self._check)
            self._loaded, self._looking_on = tuple(active), tuple(shadows)

    def claim(self, connection: Connection, now: float, *, owner: str, lease_s: float) -> list[jobs.Claim]:
        """Lease a batch of studies."""
        return jobs.claim(connection, now, self.kind, owner=owner, limit=self._batch_size, lease_s=lease_s)

    def __call__(self, claims: Sequence[jobs.Claim]) -> Iterator[Step]:
        """Decode, judge and analyse; one step for each study."""
        rule = self._rule
        read = self._read(claims, rule.plan)
        studies = [study for study in read if study.lost is None]
        self._screen(studies, rule.plan)
        films = [film for study in studies for film in study.films]
        analysed = analyse(rule.active, films, self._model_ran) if films else ()
        by_uid = dict(zip((film.film.sop_uid for film in films), analysed, strict=True))
        for study in studies:
            mine = [self._with_preview(film, by_uid[film.film.sop_uid]) for film in study.films]
            if mine:
                analysis = conclude(
                    study.claim.study_uid, mine, config_digest=rule.config_digest, unread=_unread(study)
                )
                yield self._analysed(study, analysis, rule.active)
            else:
                yield self._refused(study, rule)
        self._shadows.look(
            rule.shadows,
            [
                Judged(study.inference_id, study.claim.study_uid, film, by_uid[film.film.sop_uid])
                for study in studies
                if study.inference_id is not None
                for film in study.films
            ],
        )
        for study in read:
            if study.lost is not None:
                raise study.lost  # the claims without a step are tried one by one: each waits with its own reason

    def _read(self, claims: Sequence[jobs.Claim], plan: Plan) -> list[_Study]:
        """Decode the films of all claims side by side, and part them by study: bytes may belong to several."""
        studies = [self._opened(claim) for claim in claims]
        wanted = dict.fromkeys(path for study in studies for path in study.paths.values())
        outcomes = self._decoders.prepare(list(wanted), plan)
        for outcome in outcomes.values():
            if isinstance(outcome, Prepared):
                for stage, seconds in outcome.seconds.items():
                    self._metrics.observe(m.STAGE, seconds, stage=stage)
        for study in studies:
            self._take_films(study, outcomes)
        return studies

    def _opened(self, claim: jobs.Claim) -> _Study:
        with self._database.read() as connection:
            instances = results.instances_of(connection, claim.study_uid)
        study = _Study(claim, {row.sha256: row.sop_uid for row in instances})
        try:
            study.paths = {sha256: self._payload.file(sha256) for sha256 in study.named}
        except PayloadLost as lost:
            study.lost = lost
        return study

    def _take_films(self, study: _Study, outcomes: Mapping[Path, Outcome]) -> None:
        found = {study.named[sha256]: outcomes[path] for sha256, path in study.paths.items()}
        study.lost = study.lost or next((o for o in found.values() if isinstance(o, PayloadLost)), None)
        if study.lost is not None:
            return
        images = {sop_uid: o for sop_uid, o in found.items() if not isinstance(o, PayloadLost)}
        for sop_uid, outcome in zip(images, one_patient(list(images.values())), strict=True):
            if outcome.patient is not None:
                study.legible.add(sop_uid)
            match outcome:
                case Prepared():
                    study.films.append(outcome)
                case Refused():
                    self._refuse(study, sop_uid, outcome)

    def _screen(self, studies: Sequence[_Study], plan: Plan) -> None:
        """Ask headers and pixels of all films at once, and part those that may not be judged from their studies."""
        films = [film for study in studies for film in study.films]
        said = iter(screen(self._check, films, plan.rules))
        for study in studies:
            self._part(study, list(islice(said, len(study.films))))
            self._part(study, distinct(study.films, plan.rules))
            for film in study.films:
                study.marks[study.named[film.film.sha256]] = (InstanceState.ADMITTED, "", "; ".join(film.notes))
                if film.film.inverted:
                    self._metrics.count(m.CORRECTED, reason=str(Reason.INVERTED))
            judged = {film.film.sop_uid: film.sources for film in study.films}
            for sop_uid, (state, reason, _) in study.marks.items():
                if reason == Reason.FOR_PROCESSING:
                    study.marks[sop_uid] = (state, reason, instead(sop_uid, judged).message)

    def _part(self, study: _Study, said: Sequence[Prepared | Refused]) -> None:
        """Keep the films of a study that came back, and refuse the others."""
        asked, study.films = study.films, []
        for film, answer in zip(asked, said, strict=True):
            match answer:
                case Refused():
                    self._refuse(study, study.named[film.film.sha256], answer)
                case Prepared():
                    study.films.append(answer)

    def _refuse(self, study: _Study, sop_uid: str, why: Refused) -> None:
        study.marks[sop_uid] = (InstanceState.REFUSED, str(why.reason), why.message)
        self._metrics.count(m.REFUSED, reason=str(why.reason))
        self._log.info("image refused", study=study.claim.study_uid, instance=sop_uid, reason=str(why.reason))

    def _with_preview(self, film: Prepared, analysis: FilmAnalysis) -> FilmAnalysis:
        done, png = cv2.imencode(".png", film.preview, PNG_STORED)
        if not done:
            raise CxrdError("the preview could not be encoded")
        return analysis.model_copy(update={"preview": self._payload.put(png.tobytes())})

    def _analysed(self, study: _Study, analysis: StudyAnalysis, models: Sequence[Classifier]) -> Step:
        claim = study.claim
        films = {film.film.sop_uid: film for film in study.films}
        seen = {x.film.sha256: seen_by(models, films[x.film.sop_uid], x) for x in analysis.films}

        def effect(connection: Connection, now: float) -> None:
            results.mark_instances(connection, now, study.marks)
            inference_id = _record(connection, now, claim, analysis)
            if inference_id is not None:
                observations.record(connection, now, inference_id, claim.study_uid, seen)
            jobs.finish(connection, now, claim)
            study.inference_id = inference_id  # last: a lost lease has raised by now

        self._count_scores(analysis)
        self._log.info(
            "study analysed",
            study=claim.study_uid,
            films=len(analysis.films),
            refused=len(study.marks) - len(study.films),
        )
        return Step(claim, effect)

    def _refused(self, study: _Study, rule: _Rule) -> Step:
        claim = study.claim
        reasons = sorted({reason for _, reason, _ in study.marks.values()})
        others = f" (also {', '.join(reasons[1:])})" if len(reasons) > 1 else ""
        reason = Reason(reasons[0]) if reasons else Reason.NO_PIXELS
        detail = f"none of {len(study.marks)} image(s) can be analysed{others}"
        answer = _refusal(study, rule, f"{reason}: {detail}") if rule.plan.rules.report_refused else None

        def effect(connection: Connection, now: float) -> None:
            results.mark_instances(connection, now, study.marks)
            if results.refuse_study(connection, now, claim.study_uid, reason, detail) and answer is not None:
                _record(connection, now, claim, answer)
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


def _record(connection: Connection, now: float, claim: jobs.Claim, analysis: StudyAnalysis) -> int | None:
    """Commit an analysis and have its objects built; its id, None where it is answered already."""
    inference_id = results.record_inference(connection, now, analysis)
    if inference_id is not None:
        jobs.enqueue(
            connection,
            now,
            JobKind.BUILD,
            dedupe=f"build:{inference_id}",
            study_uid=claim.study_uid,
            priority=claim.priority,
            payload={"inference_id": inference_id},
        )
    return inference_id


def _refusal(study: _Study, rule: _Rule, why: str) -> StudyAnalysis | None:
    """What a report can say of a study of which no film may be judged; None where nobody can tell whose it is.

    A header that no decode process has read is read by nobody: what killed one could kill a role.
    """
    if any(reason == Reason.PATIENT_MISMATCH for _, reason, _ in study.marks.values()):
        return None
    unread = [film for film in _unread(study) if film.sop_uid in study.legible]
    digest = rule.config_digest
    return conclude(study.claim.study_uid, [], config_digest=digest, unread=unread, refusal=why) if unread else None


def _unread(study: _Study) -> list[Unread]:
    """Films that a reader of the report would miss."""
    marks = ((uid, sha256, *study.marks[uid]) for sha256, uid in study.named.items())
    return [
        Unread(sop_uid=uid, sha256=sha256, why=why)
        for uid, sha256, state, reason, why in marks
        if state is InstanceState.REFUSED and Reason(reason).leaves_a_film_unread
    ]


def _rule(
    settings: Settings, active: Sequence[Classifier], shadows: Sequence[Classifier], check: ContentCheck | None
) -> _Rule:
    thresholds = settings.models.thresholds
    return _Rule(
        operating(active, thresholds),
        tuple(c.at(thresholds) for c in shadows),
        Plan.of((*active, *shadows), settings.report.preview_size, settings.admission, check),
        config_digest(settings, check),
    )
