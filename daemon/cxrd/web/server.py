"""The HTTP server of one node, on Starlette and uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cxrd.errors import CxrdError, StoreError
from cxrd.settings import ROLES, Settings
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.watch import health
from cxrd.web.exposition import StoreCollector, exposition
from cxrd.web.pages import Pages


def checks(
    settings: Settings, database: Database, payload: Payloads, roles: Sequence[str] = ROLES
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
    return [*found, *health.beats(roles, ages, 2 * settings.work.lease_s)]


def application(settings: Settings, database: Database, payload: Payloads, metrics_dir: str = "") -> Starlette:
    """The routes of one node."""
    collector = StoreCollector(settings, database, payload)
    pages = Pages(database)

    def metrics(_request: Request) -> Response:
        return Response(exposition(collector, metrics_dir), media_type=CONTENT_TYPE_LATEST)

    def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        found = checks(settings, database, payload)
        lines = [f"{'ok ' if c.ok else 'RED'} {c.name}: {c.found}" + ("" if c.ok else f" -> {c.todo}") for c in found]
        return PlainTextResponse("\n".join(lines) + "\n", status_code=200 if health.ready(found) else 503)

    def api_health(_request: Request) -> Response:
        found = checks(settings, database, payload)
        status = 200 if health.ready(found) else 503
        return JSONResponse({"ready": health.ready(found), "checks": [c._asdict() for c in found]}, status_code=status)

    def store_down(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", status_code=503)

    routes = [
        Route("/", pages.overview),
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/api/v1/health", api_health),
    ]
    app = Starlette(routes=routes, exception_handlers={StoreError: store_down})
    app.state.follow = collector.follow
    return app


def serve_web(
    settings: Settings,
    database: Database,
    payload: Payloads,
    stop: Event,
    metrics_dir: str,
    follow: Callable[[Callable[[Settings], None]], None],
) -> None:
    """Serve until ``stop`` is set; ``follow`` is told what takes up new settings."""
    app = application(settings, database, payload, metrics_dir)
    follow(app.state.follow)
    config = uvicorn.Config(
        app, host=settings.web.bind, port=settings.web.port, log_config=None, access_log=False, lifespan="off"
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
