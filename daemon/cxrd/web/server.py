"""The HTTP server of one node, on FastAPI and uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cxrd import __version__
from cxrd.errors import CxrdError, StoreError
from cxrd.findings import Verdict
from cxrd.settings import Settings
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.memory import open_cache
from cxrd.store.payload import Payloads
from cxrd.watch import health
from cxrd.watch import metrics as m
from cxrd.watch.logs import logger
from cxrd.web.access import Guard, read_operators
from cxrd.web.api import Behind, api
from cxrd.web.exposition import StoreCollector, exposition
from cxrd.web.models import ModelCards
from cxrd.web.operations import Operations
from cxrd.web.pages import Pages
from cxrd.web.pictures import Pictures
from cxrd.web.reference import reference
from cxrd.web.refusing import refusal
from cxrd.web.uploads import Named, Predict, Uploads

ABOUT = "A chest X-ray AI node beside a PACS. Research use: every result must be reviewed by a radiologist."
STATIC = StaticFiles(packages=[("cxrd.web", "static")])


def checks(settings: Settings, database: Database, payload: Payloads) -> list[health.Check]:
    """Everything that decides whether the node is ready."""
    found = [_disk(settings, payload)]
    try:
        database.check_schema()
        with database.read() as connection:
            now = database.now(connection)
            ages = {role: now - beat for role, beat in views.last_beat_by_role(connection).items()}
    except CxrdError as error:
        return [*found, health.Check("database", ok=False, found=error.message, todo=error.hint)]
    found.append(health.Check("database", ok=True, found="answers, schema is current"))
    return [*found, *health.beats(settings.roles(), ages, 2 * settings.work.lease_s)]


def _disk(settings: Settings, payload: Payloads) -> health.Check:
    try:
        return health.disk(payload.free_bytes(), settings.storage.min_free_mb * 2**20)
    except StoreError as error:
        return health.Check("disk", ok=False, found=error.message, todo=error.hint)


def nobody(_films: Sequence[Named], _pictures: bool) -> tuple[list[Verdict], int, int]:  # noqa: FBT001 - as who judges is asked
    """Judge nothing: what stands behind an application that was given no models."""
    raise CxrdError("no models are here to judge uploads")


def application(
    settings: Settings,
    database: Database,
    payload: Payloads,
    metrics_dir: str = "",
    *,
    predict: Predict = nobody,
    metrics: m.Metrics | None = None,
) -> FastAPI:
    """The routes of one node, behind the guard.

    Parameters
    ----------
    predict : callable
        Judges uploaded films.
    metrics : Metrics or None
        Where uploads are counted.
    """
    in_force = settings

    def look() -> list[health.Check]:
        return checks(in_force, database, payload)

    collector, cards = StoreCollector(settings, database, payload), ModelCards(settings)
    pages = Pages(settings, database, look, cards, metrics_dir)
    cache = open_cache(settings, database, lambda text: logger().warning(text))
    uploads = Uploads(settings.predict, predict, metrics or m.Metrics())
    app = FastAPI(
        title="cxrd",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(Guard, web=settings.web, answer=refusal, largest=settings.predict.max_upload_mb * 2**20)
        ],
    )
    for error in (StoreError, HTTPException, RequestValidationError):
        app.add_exception_handler(error, refusal)
    app.include_router(api(Behind(settings, database, cache, cards, look, uploads, metrics_dir)))
    app.router.routes += [
        *_monitoring(collector, look, metrics_dir),
        *_pages(pages, Pictures(database, payload)),
        *_operations(Operations(database)),
        Route("/upload", uploads.form),
        Route("/upload", uploads.answer, methods=["POST"]),
        Route("/docs", lambda request: reference(request, app.openapi())),
        Mount("/static", STATIC),
    ]

    def follow(new: Settings) -> None:
        nonlocal in_force
        in_force = new
        for part in (collector, cards, pages):
            part.follow(new)

    app.state.follow = follow
    return app


def _monitoring(collector: StoreCollector, look: Callable[[], list[health.Check]], metrics_dir: str) -> list[Route]:
    def metrics(_request: Request) -> Response:
        return Response(exposition(collector, metrics_dir), media_type=CONTENT_TYPE_LATEST)

    def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        found = look()
        lines = [f"{'ok ' if c.ok else 'RED'} {c.name}: {c.found}" + ("" if c.ok else f" -> {c.todo}") for c in found]
        return PlainTextResponse("\n".join(lines) + "\n", status_code=200 if health.ready(found) else 503)

    return [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]


def _pages(pages: Pages, pictures: Pictures) -> list[Route]:
    film = "/studies/{uid}/films/{sop_uid}"
    return [
        Route("/", pages.overview),
        Route("/models", pages.models),
        Route("/studies/{uid}", pages.study),
        Route(f"{film}/film.png", pictures.film),
        Route(f"{film}/heat/{{model}}/{{finding}}.png", pictures.heat),
    ]


def _operations(operations: Operations) -> list[Route]:
    return [
        Route("/studies/{uid}/requeue", operations.requeue, methods=["POST"]),
        Route("/studies/{uid}/jobs/{job:int}/retry", operations.retry, methods=["POST"]),
        Route("/studies/{uid}/jobs/{job:int}/dismiss", operations.dismiss, methods=["POST"]),
        Route("/destinations/{name}/pause", operations.pause, methods=["POST"]),
        Route("/destinations/{name}/resume", operations.resume, methods=["POST"]),
    ]


def serve_web(settings: Settings, app: FastAPI, stop: Event) -> None:
    """Serve until ``stop`` is set.

    Raises
    ------
    ConfigError
        The file of operators lets nobody in, or everybody read it.
    StoreError
        The server ended by itself.
    """
    if settings.web.operators is not None:
        read_operators(settings.web.operators)
    config = uvicorn.Config(
        app,
        host=settings.web.bind,
        port=settings.web.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # the guard judges who really called
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, name="http", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.wait(0.5):
        pass
    server.should_exit = True
    thread.join(timeout=5)
    if not stop.is_set():
        raise StoreError(f"the web server on {settings.web.bind}:{settings.web.port} ended", hint="is the port taken?")
