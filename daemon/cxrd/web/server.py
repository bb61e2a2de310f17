"""The HTTP server of one node, on Starlette and uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cxrd.errors import CxrdError, StoreError
from cxrd.settings import Settings
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.watch import health
from cxrd.web.access import Guard, read_operators
from cxrd.web.exposition import StoreCollector, exposition
from cxrd.web.operations import Operations
from cxrd.web.pages import Pages
from cxrd.web.pictures import Pictures
from cxrd.web.refusing import refusal

STATIC = StaticFiles(packages=[("cxrd.web", "static")])


def checks(
    settings: Settings, database: Database, payload: Payloads, roles: Sequence[str] | None = None
) -> list[health.Check]:
    """Everything that decides whether the node is ready."""
    found = [health.disk(payload.free_bytes(), settings.storage.min_free_mb * 2**20)]
    try:
        database.check_schema()
        with database.read() as connection:
            now = database.now(connection)
            ages = {role: now - beat for role, beat in views.last_beat_by_role(connection).items()}
    except CxrdError as error:
        return [*found, health.Check("database", ok=False, found=error.message, todo=error.hint)]
    found.append(health.Check("database", ok=True, found="answers, schema is current"))
    return [*found, *health.beats(settings.roles() if roles is None else roles, ages, 2 * settings.work.lease_s)]


def application(settings: Settings, database: Database, payload: Payloads, metrics_dir: str = "") -> Starlette:
    """The routes of one node, behind the guard."""

    def look() -> list[health.Check]:
        return checks(settings, database, payload)

    collector = StoreCollector(settings, database, payload)
    pages = Pages(settings, database, look, metrics_dir)
    routes = [*_monitoring(collector, look, metrics_dir), *_pages(pages, Pictures(database, payload))]
    app = Starlette(
        routes=[*routes, *_operations(Operations(database)), Mount("/static", STATIC)],
        middleware=[Middleware(Guard, web=settings.web, answer=refusal)],
        exception_handlers={StoreError: refusal, HTTPException: refusal},
    )

    def follow(new: Settings) -> None:
        collector.follow(new)
        pages.follow(new)

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

    def api_health(_request: Request) -> Response:
        found = look()
        status = 200 if health.ready(found) else 503
        return JSONResponse({"ready": health.ready(found), "checks": [c._asdict() for c in found]}, status_code=status)

    return [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/api/v1/health", api_health),
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
        Route("/destinations/{name}/pause", operations.pause, methods=["POST"]),
        Route("/destinations/{name}/resume", operations.resume, methods=["POST"]),
    ]


def serve_web(
    settings: Settings,
    database: Database,
    payload: Payloads,
    stop: Event,
    metrics_dir: str,
    follow: Callable[[Callable[[Settings], None]], None],
) -> None:
    """Serve until ``stop`` is set; ``follow`` is told what takes up new settings.

    Raises
    ------
    ConfigError
        The file of operators lets nobody in, or everybody read it.
    StoreError
        The server ended by itself.
    """
    if settings.web.operators is not None:
        read_operators(settings.web.operators)
    app = application(settings, database, payload, metrics_dir)
    follow(app.state.follow)
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
