"""The REST API under ``/api/v1``: what the node knows as JSON, and films to judge. OpenAPI is made from these types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxrd.errors import CxrdError
from cxrd.findings import Verdict
from cxrd.settings import Settings
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.memory import Cache
from cxrd.telling import verdict
from cxrd.watch.health import Check, ready
from cxrd.web.access import operator
from cxrd.web.models import ModelCards
from cxrd.web.refusing import problem
from cxrd.web.running import read_running
from cxrd.web.uploads import Named, Uploads, data_url, evidence


class Problem(BaseModel):
    """Why a request was not answered as asked (RFC 9457, ``application/problem+json``)."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    code: str = Field(description="A bounded word that programs can rely on.")
    detail: str


class CheckItem(BaseModel):
    """One thing that decides whether the node is ready."""

    name: str
    ok: bool
    found: str
    todo: str = Field(description="What to do when it is not ok, or warns.")
    warn: bool


class Health(BaseModel):
    """Whether the node can work; 503 when it cannot."""

    ready: bool
    checks: list[CheckItem]


class Studies(BaseModel):
    """A page of studies, newest first; ``next`` is the ``after`` of the next page, empty on the last."""

    studies: list[views.StudyRow]
    next: str


class ModelItem(BaseModel):
    """One package that answers or looks on; ``provider`` is empty where no infer role runs beside this one."""

    id: str
    version: str
    digest: str
    title: str
    task: str
    stage: str
    provider: str
    classes: list[str]
    thresholds: dict[str, float | None]
    intended_use: str


class CacheState(BaseModel):
    """Outputs that are remembered, and how often one was found since this node started."""

    where: str
    entries: int
    bytes: int
    hits: int
    misses: int


class Cleared(BaseModel):
    """Outputs that were forgotten."""

    cleared: int


class HeatLayer(BaseModel):
    """Where a model found evidence, to be laid over the film; only where ``pictures`` is asked."""

    model: str
    finding: str
    picture: str = Field(description="A `data:` URL of a PNG with alpha, in the shape of the film.")


class Judged(BaseModel):
    """What the models say of one film; of one that none may judge, why."""

    file: str
    admitted: bool
    reason: str = Field(description="A bounded code; empty for a film that was judged.")
    detail: str
    view: str = ""
    models: dict[str, dict[str, float]] = Field(description="Probabilities, by model and class.")
    thresholds: dict[str, dict[str, float | None]] = {}
    applicability: dict[str, str] = {}
    present: dict[str, list[str]] = {}
    boxes: list[dict[str, Any]] = Field(description="Left, top, right, bottom in pixels of the film.")
    film: str = Field("", description="The film as a viewer shows it, a `data:` URL of a PNG, if `pictures` is asked.")
    heat: list[HeatLayer] = []


class Predictions(BaseModel):
    """One result for each file, in order."""

    results: list[Judged]


REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
    for code, text in {
        401: "Nobody logged in.",
        403: "Only an operator may.",
        400: "The form cannot be read.",
        404: "There is none.",
        408: "The films do not come.",
        413: "The request is too large.",
        421: "The node does not go by that name.",
        422: "The request cannot be understood, or no film of it can be judged.",
        503: "Not now: the database, the models or a free place is missing.",
    }.items()
}


def _refused(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: REFUSALS[code] for code in sorted({401, 421, *codes})}


@dataclass(frozen=True, slots=True)
class Behind:
    """What the API stands on."""

    settings: Settings
    database: Database
    cache: Cache
    cards: ModelCards
    look: Callable[[], Sequence[Check]]
    uploads: Uploads
    metrics_dir: str


def api(behind: Behind) -> APIRouter:
    """Make the routes of version 1."""
    router = APIRouter(prefix="/api/v1")
    _state(router, behind)
    _studies(router, behind)
    _cache(router, behind)
    _predict(router, behind)
    return router


def _state(router: APIRouter, behind: Behind) -> None:
    unready: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Something is missing."}}

    @router.get("/health", response_model=Health, responses=unready, summary="Whether the node can work")
    def health() -> Response:
        found = list(behind.look())
        told = {"ready": ready(found), "checks": [check._asdict() for check in found]}
        return JSONResponse(told, 200 if told["ready"] else 503)

    @router.get("/models", responses=_refused(503), summary="Model packages and their stages")
    def models() -> list[ModelItem]:
        running = read_running(behind.metrics_dir)
        with behind.database.read() as connection:
            found = behind.cards.manifests(connection)
        return [
            ModelItem(
                id=manifest.id,
                version=manifest.version,
                digest=digest,
                title=manifest.title,
                task=manifest.task,
                stage=str(stage),
                provider=running.models.get((manifest.id, manifest.version), {}).get("provider", ""),
                classes=[klass.id for klass in manifest.classes],
                thresholds={klass.id: klass.threshold for klass in manifest.classes},
                intended_use=manifest.intended_use.text,
            )
            for stage, manifest, digest in found
        ]


def _studies(router: APIRouter, behind: Behind) -> None:
    @router.get("/studies", responses=_refused(422, 503), summary="Studies, newest first")
    def studies(
        state: Annotated[str, Query(description="Only in this state.", max_length=16)] = "",
        source: Annotated[str, Query(description="Only of this source.", max_length=64)] = "",
        text: Annotated[str, Query(description="Part of the UID or accession number.", max_length=64)] = "",
        after: Annotated[str, Query(description="`next` of the page before.", max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> Studies:
        wanted = views.Wanted(state=state, source=source, text=text, after=after)
        with behind.database.read() as connection:
            found = views.studies(connection, limit=limit + 1, wanted=wanted)
        page = found[:limit]
        more = page[-1].place if len(found) > limit else ""
        return Studies(studies=page, next=more)

    @router.get("/studies/{uid}", responses=_refused(404, 503), summary="One study, by UID or accession number")
    def study(uid: str) -> views.StudyView:
        with behind.database.read() as connection:
            found = views.study(connection, uid)
        if found is None:
            raise HTTPException(404, "No study of this UID or accession number has been received.")
        return found


def _cache(router: APIRouter, behind: Behind) -> None:
    @router.get("/cache", responses=_refused(503), summary="What the cache holds, and how often it helps")
    def cache() -> CacheState:
        kept, running = behind.cache.kept(), read_running(behind.metrics_dir)
        return CacheState(
            where=kept.where, entries=kept.entries, bytes=kept.size, hits=running.hits, misses=running.misses
        )

    @router.delete("/cache", responses=_refused(403, 503), summary="Forget every output")
    def clear(request: Request) -> Cleared:
        operator(request)
        return Cleared(cleared=behind.cache.clear())


def _predict(router: APIRouter, behind: Behind) -> None:
    most = behind.settings.predict.max_films

    @router.post(
        "/predict",
        response_model=Predictions,
        responses=_refused(400, 403, 408, 413, 422, 503),
        summary="Judge films: DICOM, PNG or JPEG, one or several",
        openapi_extra={"requestBody": _films(most)},  # FastAPI would read the body before it asks for a place
    )
    async def predict(
        request: Request,
        *,
        pictures: Annotated[bool, Query(description="Show each film, and the heat of its findings.")] = False,
    ) -> Response:
        operator(request)

        def answered(films: Sequence[Named]) -> Response:
            return _told(behind.uploads.judge(films, pictures=pictures), pictures=pictures)

        try:
            async with behind.uploads.received(request) as films:
                return await run_in_threadpool(answered, films)
        except CxrdError as error:
            code = "busy" if error.retryable else "no_models"
            return problem(503, code=code, detail=str(error), headers={"Retry-After": "5"})


def _films(most: int) -> dict[str, Any]:
    """Describe a form of films."""
    file = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": most}
    form = {"type": "object", "required": ["file"], "properties": {"file": {**file, "description": "The films."}}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _told(verdicts: Sequence[Verdict], *, pictures: bool) -> Response:
    results = [{**verdict(one), **(_pictures(one) if pictures else {})} for one in verdicts]
    if all(one.analysis is None for one in verdicts):
        return problem(422, code=verdicts[0].reason, detail=verdicts[0].detail, results=results)
    return JSONResponse({"results": results})


def _pictures(judged: Verdict) -> dict[str, Any]:
    layers = [
        {"model": one.answer.model.id, "finding": one.finding.class_id, "picture": one.picture}
        for one in evidence(judged)
    ]
    return {"film": data_url(judged.preview), "heat": layers}
